// Acknowledging an alert: whose name, and what the button says until the store has answered.
(function () {
  "use strict";
  // The store gives up on a statement after 20 seconds.
  const PATIENCE_MS = 25_000;
  const button = (alert) => ({ type: "acknowledge", alert });
  let waiting = null;

  function props(id, values) {
    window.dash_clientside.set_props(id, values);
  }

  function label(alert, words) {
    // A refresh may have taken the button away meanwhile.
    if (document.querySelector(`[data-alert="${CSS.escape(alert)}"] button`)) {
      props(button(alert), { children: words });
    }
  }

  // As acknowledgement.py writes the failures that it knows of.
  function silence() {
    const html = (type, children, more) => (
      { type, namespace: "dash_html_components", props: { children, ...more } }
    );
    return html("Div", [
      html("Strong", "The dashboard does not answer: the alert may not be acknowledged."),
      html("Div", "Check that it runs (`assay status`), then try again: twice is as good as once."),
      html("Button", "Dismiss", { id: "dismiss", className: "action" }),
    ], { className: "notice failed", role: "alert" });
  }

  function send(alert, by) {
    label(alert, "Acknowledging…");
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      label(alert, "Acknowledge");
      props("acknowledgement", { children: silence() });
    }, PATIENCE_MS);
    return { alert, by, at: Date.now() };
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.acknowledgement = {
    decide(_clicks, _rename, _confirm, _submit, _cancel, viewer, unsigned, typed) {
      const same = window.dash_clientside.no_update;
      const context = window.dash_clientside.callback_context;
      const changed = (to) => ["intent", "unsigned", "viewer", "open", "name", "error", "confirm"].map(
        (output) => (output in to ? to[output] : same)
      );
      // A list that was drawn anew has buttons that nobody clicked.
      const used = context.triggered.find((each) => each.value);
      if (!used) return changed({});
      const control = used.prop_id.slice(0, used.prop_id.lastIndexOf("."));
      if (control === "cancel") return changed({ unsigned: null, open: false, error: null });
      if (control === "rename") {
        return changed({ unsigned: null, open: true, name: viewer, error: null, confirm: "Save" });
      }
      if (control === "confirm" || control === "name") {
        // What stands in the field: the property of it may be a few keys behind.
        const name = (document.getElementById("name")?.value ?? typed ?? "").trim().replace(/\s+/g, " ");
        if (!name) return changed({ error: "A name is needed: the others see who is looking" });
        const kept = { unsigned: null, viewer: name, open: false, name, error: null };
        return changed(unsigned ? { ...kept, intent: send(unsigned, name) } : kept);
      }
      const { alert } = JSON.parse(control);
      if (viewer) return changed({ intent: send(alert, viewer), unsigned: null });
      return changed({ unsigned: alert, open: true, name: "", error: null, confirm: "Acknowledge" });
    },

    signature(viewer) {
      return [viewer || "", !viewer];
    },

    settled(outcome) {
      clearTimeout(waiting);
      if (!outcome) return "";
      if (outcome.failed) {
        label(outcome.alert, "Acknowledge");
        return "";
      }
      // The button that had the focus goes; the row stays.
      document.querySelector(`[data-alert="${CSS.escape(outcome.alert)}"] .tenant`)?.focus();
      return `Acknowledged by ${outcome.by}`;
    },

    dismissed(clicks) {
      return clicks ? [] : window.dash_clientside.no_update;
    },
  };
})();
