"""The report in a real browser: it draws, says nothing on the console, and asks no network."""

import json
import re
import shutil
import subprocess

import pytest

from headstart.compare.report import render_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1600", "--virtual-time-budget=10000", "--enable-logging=stderr",
)  # fmt: skip
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
CANARY = (
    "<script>document.body.dataset.canary = 1</script>"
    "<img src=http://report.invalid/x.png onerror='document.body.dataset.canary = 1'>"
)


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Open a page; return its DOM, the lines on the console and the addresses it asked for."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser found (looked for {', '.join(BROWSERS)})")

    def open_page(html):
        folder = tmp_path_factory.mktemp("browser")
        (folder / "report.html").write_text(html, encoding="utf-8")
        log = folder / "network.json"
        own = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom")
        done = subprocess.run(
            [browser, *FLAGS, *own, (folder / "report.html").as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        requests = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
        asked = {
            request["url"]
            for request in requests
            if re.match("https?|wss?", request.get("url", ""))
            # what the browser asks for itself comes from no page
            and request.get("initiator", "not an origin") != "not an origin"
        }
        return done.stdout, console, asked

    return open_page


@pytest.mark.slow
def test_it_draws_in_silence_even_under_attack(browse, made_up, attack, payloads):
    payload = "".join((CANARY, *payloads))
    dom, console, asked = browse(render_report(attack(made_up(num_rows=150), payload)))
    assert console == []
    assert asked == set()
    assert "data-canary" not in dom
    plots = dom.count('<div class="plot js-plotly-plot"')
    assert plots == 12
    assert dom.count('<svg class="main-svg"') >= 2 * plots
    assert dom.count('class="trace bars"') == 5
    assert dom.count('class="js-line"') >= 15


@pytest.mark.slow
def test_the_policy_stops_what_the_template_would_let_through(browse, made_up):
    html = render_report(made_up(num_rows=40, budgets=(50,), num_seeds=1))
    broken = html.replace("<main>", f"<main>{CANARY}", 1)
    dom, console, asked = browse(broken)
    assert "data-canary" not in dom
    assert asked == set()
    assert any("Content Security Policy" in line for line in console)

    dom, _, asked = browse(POLICY.sub("", broken))  # so that the test could fail
    assert "data-canary" in dom
    assert asked == {"http://report.invalid/x.png"}
