from __future__ import annotations

import re
from pathlib import Path

import httpx

from assay.dashboard.pages import PAGES, find
from tests.assay.dashboard.conftest import served
from tests.support.processes import free_port


def test_every_page_has_its_own_address() -> None:
    paths = [page.path for page in PAGES]
    assert paths == ["/", "/efficiency"]
    assert [find(path) for path in paths] == list(PAGES)
    assert find(None) is PAGES[0]
    assert find("/nowhere") is None


def test_serves_its_health_and_all_its_files_itself(tmp_path: Path) -> None:
    # Without a store: the process is well, the screen says what is wrong.
    with (
        served(f"http://127.0.0.1:{free_port()}", "llm", tmp_path / "log.txt") as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        assert http.get("/healthz").json() == {"status": "ok"}
        index = http.get("/").text
        files = re.findall(r'(?:src|href)="([^"]+)"', index)
        assert len(files) > 8
        for file in files:
            assert file.startswith("/"), file
            assert http.get(file).status_code == 200, file
        # Pages of the framework that would load scripts from elsewhere.
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert "swagger" not in http.get(path).text.lower()
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
