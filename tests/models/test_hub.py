"""Downloads from a hub on loopback: whole folders, resumed ones, gated, unknown, offline, damaged."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TinyKlein
from tests.engine.tiny_families import write_flux3
from workbench.errors import Cancelled, ModelError
from workbench.models.catalog import ModelCatalog
from workbench.models.sources.files import InstallError, remove
from workbench.models.sources.hub import HubError, choose, parse, pull
from workbench.recipe.controls import DEPTH

SHA = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """What of the hub's interface the client uses, over one folder."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.refusal: tuple[int, str] | None = None
        self.cut: dict[str, int] = {}  # bytes after which a file's connection breaks, once
        self.asked: list[tuple[str, str]] = []  # file, range


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        hub = self.server
        if hub.refusal:
            status, code = hub.refusal
            self.reply(status, b"", {"X-Error-Code": code, "X-Error-Message": "no"})
            return
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/tiny"):
            if path.endswith("/revision/none"):
                self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = [{"rfilename": name, "size": len(data)} for name, data in hub.files.items()]
            facts: dict[str, Any] = {"id": "org/tiny", "sha": SHA, "siblings": siblings, "private": False, "tags": []}
            self.reply(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})
            return
        name = path.removeprefix(f"/org/tiny/resolve/{SHA}/")
        data = hub.files[name]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        span = self.headers.get("Range", "")
        if body:
            hub.asked.append((name, span))
        start = int(span.removeprefix("bytes=").partition("-")[0] or 0) if span else 0
        if span:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.reply(
            206 if span else 200, data[start:], headers, body=body, cut=hub.cut.pop(name, None) if body else None
        )

    def reply(
        self, status: int, data: bytes, headers: dict[str, str], *, body: bool = True, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and self.command == "GET":
            self.wfile.write(data if cut is None else data[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True


@pytest.fixture
def hub(tiny_klein: TinyKlein, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    root = tiny_klein.base
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    files |= {
        "README.md": b"x",
        "vae/model.bin": b"pickle",
        "transformer/model.fp16.safetensors": b"half",
        "flux.safetensors": b"",
    }
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def catalog(tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", device="cpu")


def left(catalog: ModelCatalog) -> list[str]:
    root = catalog.home / "models"
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.is_dir() else []


def test_a_model_is_pulled_used_and_removed(hub: Hub, catalog: ModelCatalog, tiny_klein: TinyKlein) -> None:
    told: list[tuple[str, int, int]] = []
    folder = pull(catalog, "org/tiny", listen=lambda *facts: told.append(facts))
    model = catalog.model("org/tiny")
    assert (model.path, model.revision) == (folder, SHA)
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not here & {"README.md", "vae/model.bin", "transformer/model.fp16.safetensors", "flux.safetensors"}
    name = "transformer/diffusion_pytorch_model.safetensors"
    assert (folder / name).read_bytes() == (tiny_klein.base / name).read_bytes()
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2] > 10**6
    assert left(catalog) == ["org"]
    with pytest.raises(InstallError, match="already"):
        pull(catalog, "org/tiny")
    remove(catalog, "org/tiny")
    assert left(catalog) == []


def test_a_revision_is_a_model_of_its_own(hub: Hub, catalog: ModelCatalog) -> None:
    pull(catalog, "org/tiny@v1.0")
    assert catalog.model("org/tiny@v1.0").revision == SHA
    with pytest.raises(HubError, match="no revision 'none'"):
        pull(catalog, "org/tiny@none")


def test_what_is_interrupted_goes_on_where_it_stopped(hub: Hub, catalog: ModelCatalog) -> None:
    name = "text_encoder/model.safetensors"
    pieces = iter([False] * 3)

    def stop() -> bool:
        return next(pieces, True)

    with pytest.raises(Cancelled):
        pull(catalog, "org/tiny", cancelled=stop)
    assert left(catalog) == []
    assert list((catalog.home / "models").glob(".pulling/*/model_index.json"))
    assert not [model.name for model in catalog.models() if "tiny" in model.name]
    assert not catalog.broken()
    before = len(hub.asked)
    pull(catalog, "org/tiny")
    again = [file for file, _ in hub.asked[before:]]
    done = [file for file, _ in hub.asked[:before]]
    assert name in again + done
    assert len(again) == len(set(again))
    assert "model_index.json" in done
    assert "model_index.json" not in again  # what had arrived was kept
    assert left(catalog) == ["org"]


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, catalog: ModelCatalog) -> None:
    name = "transformer/diffusion_pytorch_model.safetensors"
    hub.cut[name] = 100_000
    try:
        pull(catalog, "org/tiny")
    except HubError:
        assert left(catalog) == []
        pull(catalog, "org/tiny")
    assert catalog.model("org/tiny").parameters > 0
    assert ("bytes=100000-" in [span for file, span in hub.asked if file == name]) or hub.asked.count((name, "")) > 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "GatedRepo"), "is gated.*Accept its licence at https://huggingface.co/org/tiny"),
        ((404, "RepoNotFound"), "no model org/tiny"),
        ((401, "RepoNotFound"), "no model org/tiny"),
        ((418, ""), "answered 418"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, catalog: ModelCatalog, refusal: tuple[int, str], words: str
) -> None:
    hub.refusal = refusal
    with pytest.raises(HubError, match=words):
        pull(catalog, "org/tiny")
    assert left(catalog) == []


def test_offline(catalog: ModelCatalog, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        pull(catalog, "org/tiny")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port, where nothing listens
    with pytest.raises(HubError, match="cannot be reached"):
        pull(catalog, "org/tiny")


def test_damaged_files_and_other_models_are_not_installed(hub: Hub, catalog: ModelCatalog) -> None:
    whole = hub.files["vae/diffusion_pytorch_model.safetensors"]
    hub.files["vae/diffusion_pytorch_model.safetensors"] = whole[:-10]
    with pytest.raises(ModelError, match=r"incomplete|cut short"):
        pull(catalog, "org/tiny")
    assert left(catalog) == []
    hub.files["model_index.json"] = json.dumps({"_class_name": "Other"}).encode()
    with pytest.raises(ModelError):
        pull(catalog, "org/tiny@v2")
    assert left(catalog) == []


def test_a_single_file_is_pulled_by_name(hub: Hub, catalog: ModelCatalog, tiny_klein: TinyKlein) -> None:
    del hub.files["model_index.json"]
    with pytest.raises(HubError, match=r"no model folder.*--file"):
        pull(catalog, "org/tiny")
    source = tiny_klein.base / "vae" / "diffusion_pytorch_model.safetensors"
    hub.files["flux.safetensors"] = source.read_bytes()
    path = pull(catalog, "org/tiny", file="flux.safetensors")
    assert path == catalog.home / "files" / "org--tiny" / "flux.safetensors"
    assert path.read_bytes() == source.read_bytes()
    for file, words in (("none.safetensors", "has no file"), ("vae/model.bin", "no safetensors or GGUF")):
        with pytest.raises(HubError, match=words):
            pull(catalog, "org/tiny", file=file)


def test_pickles_alone_are_refused_before_anything_is_downloaded() -> None:
    index = {"_class_name": "X", "vae": ["diffusers", "V"], "text_encoder": [None, None]}
    sizes = {"model_index.json": 1, "vae/config.json": 1, "vae/model.bin": 9, "text_encoder/model.bin": 1}
    with pytest.raises(HubError, match="as a pickle only"):
        choose(sizes, index, parse("org/tiny"))


@pytest.mark.parametrize("text", ["", "tiny", "a/b/c", "org/../x", "org/ti ny", "org/tiny@../x", "/org/tiny@a b"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(HubError, match="names no model"):
        parse(text)


def test_the_disk_is_looked_at_first(hub: Hub, catalog: ModelCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(catalog.home.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(InstallError, match=r"needs 0\.0 GB"):
        pull(catalog, "org/tiny")


def test_a_modular_model_is_pulled_and_is_what_it_is(hub: Hub, catalog: ModelCatalog, tmp_path: Path) -> None:
    """FLUX.3's repositories have an index of another name, whose classes may stand in the places alone."""
    folder = write_flux3(tmp_path / "flux3", seed=0, flow_map=True)
    index = json.loads((folder / "modular_model_index.json").read_text())
    for name, entry in index.items():
        if isinstance(entry, list):
            index[name] = [None, None, {"type_hint": entry[:2], "subfolder": name}]
    upsampler = {"pretrained_model_name_or_path": "org/upsampler", "type_hint": ["transformers", "X"]}
    index["prompt_upsampler"] = [None, None, upsampler]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.files = files | {"modular_model_index.json": json.dumps(index).encode()}
    pull(catalog, "org/tiny")
    model = catalog.model("org/tiny")
    assert (model.family.name, model.repository) == ("flux3-klein", "org/tiny")
    remove(catalog, "org/tiny")
    assert left(catalog) == []
    index["vae"] = [None, None, {"pretrained_model_name_or_path": "org/vae"}]
    hub.files = {name: data for name, data in files.items() if not name.startswith("vae/")}
    hub.files["modular_model_index.json"] = json.dumps(index).encode()
    with pytest.raises(HubError, match="vae of org/tiny is kept in another repository, org/vae"):
        pull(catalog, "org/tiny")


def test_companions_are_pulled_under_their_own_name(
    hub: Hub, catalog: ModelCatalog, tiny_klein: TinyKlein, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = hub.files["vae/diffusion_pytorch_model.safetensors"]
    monkeypatch.setattr("workbench.models.sources.hub.COMPANIONS", {DEPTH: "org/tiny"})
    hub.files = {"config.json": b"{}", "preprocessor_config.json": b"{}", "model.safetensors": weights, "x.bin": b"x"}
    assert pull(catalog, "org/tiny") == catalog.companion(DEPTH)
    assert len(catalog.companion_fingerprint(DEPTH)) == 64
    with pytest.raises(InstallError, match=DEPTH):
        pull(catalog, "org/tiny")
    remove(catalog, DEPTH)
    assert left(catalog) == []


def test_a_pulled_model_has_the_guidance_of_its_card(
    hub: Hub, catalog: ModelCatalog, tiny_klein: TinyKlein, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pull(catalog, "org/tiny")
    model = catalog.model("org/tiny")
    family = replace(model.family, checkpoints={"x": replace(next(iter(model.family.checkpoints.values())), **FACTS)})
    assert model.checkpoint is None
    known = replace(model, family=family, repository="Org/Tiny")
    assert known.checkpoint is not None
    assert (known.guidance_scale, model.guidance_scale, folder) == (7.5, model.family.guidance_scale, model.path)


FACTS: dict[str, Any] = {"repository": "org/tiny", "advised_guidance": 7.5}
