"""Real JupyterLab in headless Chromium: one server per session, one fresh page and kernel per test.

Chromium comes from the system (`WB_CHROMIUM` names another one); `WB_SHOTS=DIR` keeps a screenshot of every test.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
PATIENCE = 300_000  # milliseconds; reached only by a hang, or by a machine that does ten other things
READY = """() => { const w = window.jupyterapp?.shell?.currentWidget;
  return !!(w?.context?.isReady && w?.sessionContext?.session?.kernel?.status === 'idle'); }"""
RUN = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code });
  let out = '';
  future.onIOPub = (m) => { out += m.content.text || (m.content.traceback || []).join('\\n'); };
  await future.done;
  return out;
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    path = os.environ.get("WB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, headless=True, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JupyterLab on a copy of the notebooks, with settings and pictures in temporary folders."""
    state, root = tmp_path_factory.mktemp("lab-state"), tmp_path_factory.mktemp("lab-root")
    shutil.copytree(ROOT / "notebooks", root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    quiet = state / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))  # its pop-up covers a corner
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "IPYTHONDIR": str(state / "ipython"),
        "WORKBENCH_HOME": str(state / "home"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",  # the kernel shares its cores with the browser
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=", "--allow-root"]
    command += ["--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={root}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    log = state / "lab.log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env) as server:
        url = f"http://127.0.0.1:{port}"
        while server.poll() is None and not _answers(url):
            time.sleep(0.1)
        assert server.poll() is None, log.read_text()
        yield url
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # some shut-downs of the server never end
            server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/status", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Lab:
    """One browser page with one notebook."""

    def __init__(self, page: Any, url: str, shots: Path) -> None:
        self.page, self.url, self.shots = page, url, shots
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, name: str) -> Lab:
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{self.url}/lab/tree/{name}?reset", wait_until="domcontentloaded")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_function(READY)
        return self

    def command(self, name: str) -> None:
        """Run one of JupyterLab's commands."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name).then(() => true)", name)

    def open_cell(self, name: str, source: str) -> Lab:
        """Put a notebook of one cell beside the others, open and run it."""
        cell: dict[str, Any] = {"cell_type": "code", "id": "a", "source": source}
        cell |= {"metadata": {}, "outputs": [], "execution_count": None}
        content = {"cells": [cell], "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}
        body = json.dumps({"type": "notebook", "content": content}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/contents/{name}", body, method="PUT")).close()
        return self.open(name).run_all()

    def run_all(self) -> Lab:
        """Run all cells to the end."""
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(READY)
        return self

    def kernel(self, code: str) -> str:
        """What `code` prints in the notebook's kernel."""
        return str(self.page.evaluate(RUN, code)).strip()

    def until(self, code: str, printed: str) -> None:
        """Wait until `code` prints this in the kernel: values and clicks travel on comms of their own, in any order."""
        deadline = time.monotonic() + PATIENCE / 1000
        while (said := self.kernel(code)) != printed:
            assert time.monotonic() < deadline, f"{code} prints {said}, not {printed}"

    def shot(self, name: str) -> None:
        """Keep a screenshot."""
        self.page.screenshot(path=str(self.shots / f"{name}.png"))

    def assert_clean(self) -> None:
        """No error in the page, no traceback in a cell or in the log console, where those of callbacks end."""
        assert self.errors == []
        assert self.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        self.command("logconsole:open")
        console = self.page.locator(".jp-LogConsolePanel")
        console.wait_for()
        assert "Traceback" not in console.inner_text()


@pytest.fixture
def lab(browser: Any, lab_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A fresh page; its kernel ends with it."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, device_scale_factor=1)
    context.set_default_timeout(PATIENCE)
    shots = Path(os.environ.get("WB_SHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    made = Lab(context.new_page(), lab_url, shots)
    yield made
    made.shot(request.node.name)
    with urllib.request.urlopen(f"{lab_url}/api/sessions") as answer:
        sessions = json.load(answer)
    for session in sessions:
        ended = urllib.request.Request(f"{lab_url}/api/sessions/{session['id']}", method="DELETE")
        urllib.request.urlopen(ended).close()
    context.close()
