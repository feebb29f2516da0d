"""The policy file: what ships, what differs, and what is refused with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensors.policy import Level, PolicyError, load

GIVEN = {
    "dual-cost-led": (Level.PAGE, 1.5, None, 0.85),
    "dual-quality-led": (Level.PAGE, 1.2, None, 0.70),
    "z-cost-led": (Level.PAGE, None, 2.0, 0.85),
    "severe-quality": (Level.PAGE, None, None, 0.70),
    "cost-spike": (Level.INVESTIGATE, None, 3.0, None),
}


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "policy.yml"
    file.write_text(text)
    return file


def test_the_literal_policy_holds_the_given_rules_and_nothing_else() -> None:
    literal = load(name="literal")
    found = {
        name: (rule.level, rule.cost_ratio_above, rule.cost_z_above, rule.quality_ratio_below)
        for name, rule in literal.rules.items()
    }
    assert found == GIVEN
    assert [w.minutes for w in literal.windows] == [15]
    assert literal.z_reference == "week_before"
    assert not literal.like_for_like


def test_the_default_policy_keeps_the_given_thresholds_behind_gates() -> None:
    default = load()
    for name, (level, ratio, _, quality) in GIVEN.items():
        rule = default.rules[name]
        assert rule.level is level
        if ratio is not None:
            assert rule.cost_ratio_above == ratio
        assert rule.quality_ratio_below == quality
    assert all(w.significance >= 3 and w.min_requests >= 10 for w in default.windows)
    assert default.baseline.half_life_days == 7


def test_what_differs_is_merged(tmp_path: Path) -> None:
    policy = load(
        write(
            tmp_path,
            "extends: default\nrules: {cost-spike: {cost_ratio_above: 2.0}, dual-significant: null}\n"
            "timing: {quiet_minutes: 30}\n",
        )
    )
    assert policy.rules["cost-spike"].cost_ratio_above == 2.0
    assert policy.rules["cost-spike"].cost_z_above == load().rules["cost-spike"].cost_z_above
    assert "dual-significant" not in policy.rules
    assert policy.timing.quiet_minutes == 30
    assert policy.timing.update_minutes == load().timing.update_minutes


def test_a_tenant_may_differ(tmp_path: Path) -> None:
    policy = load(
        write(
            tmp_path,
            "tenants:\n  org_1:\n    rules: {severe-quality: {quality_ratio_below: 0.5}, cost-spike: null}\n"
            "    gates: {min_baseline_hours: 2}\n",
        )
    )
    own = policy.for_tenant("org_1")
    assert own.rules["severe-quality"].quality_ratio_below == 0.5
    assert "cost-spike" not in own.rules
    assert own.gates.min_baseline_hours == 2
    assert policy.for_tenant("org_2") is policy
    assert policy.rules["severe-quality"].quality_ratio_below == 0.7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("extends: strict", "extends: 'strict' is not shipped; choose from default, literal"),
        ("- a list", "must be a mapping"),
        ("rules: [", "not YAML"),
        ("colour: red", "colour: is not a field of the policy (got 'red')"),
        ("rules: {cost-spike: {level: shout}}", "rules.cost-spike.level"),
        ("rules: {cost-spike: {cost_ratio_above: 0.5}}", "cost_ratio_above must be at least 1"),
        ("rules: {cost-spike: {cost_ratio: 2}}", "rules.cost-spike.cost_ratio: is not a field"),
        ("rules: {new: {level: page}}", "rules.new: needs at least one of"),
        ("rules: {severe-quality: {quality_ratio_below: 1.5}}", "quality_ratio_below must be at most 1"),
        ("baseline: {half_life_days: 0}", "baseline.half_life_days: Input should be greater than 0"),
        ("scopes: [user]", "scopes.0"),
        ("scopes: [model, model]", "scopes must each stand once"),
        ("windows: []", "windows"),
        ("gates: {min_coverage: 2}", "gates.min_coverage"),
        ("tenants: {org_1: {windows: []}}", "tenants.org_1.windows"),
        ("tenants: {org_1: {gates: {min_baseline_hours: 0}}}", "tenants.org_1: gates.min_baseline_hours"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(write(tmp_path, text))
    assert named in str(caught.value)
    assert "policy.yml" in str(caught.value)


def test_windows_must_grow(tmp_path: Path) -> None:
    window = "{minutes: 5, min_requests: 1, min_evaluations: 1, persistence_minutes: 0, significance: 0}"
    with pytest.raises(
        PolicyError, match=r"windows must be in order of growing minutes, each once, got \[5, 5\]"
    ):
        load(write(tmp_path, f"windows: [{window}, {window}]"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.yml: No such file or directory; ASSAY_POLICY_FILE"):
        load(tmp_path / "nowhere.yml")


def test_the_alert_on_calls_without_a_price_can_be_changed_and_switched_off(tmp_path: Path) -> None:
    assert load(name="literal").unpriced is None
    assert load(write(tmp_path, "unpriced: null\n")).unpriced is None
    changed = load(write(tmp_path, "unpriced: {min_calls: 500, level: page}\n")).unpriced
    assert changed is not None
    assert (changed.min_calls, changed.level, changed.window_minutes) == (500, Level.PAGE, 60)
    for wrong, message in (
        ("level: none", "unpriced: level must be `page` or `investigate`"),
        ("window_minutes: 50", "unpriced.window_minutes: Input should be a multiple of 15"),
        ("forget_hours: 200", "unpriced: forget_hours must be less than lookback_days"),
    ):
        with pytest.raises(PolicyError, match=message):
            load(write(tmp_path, f"unpriced: {{{wrong}}}\n"))
