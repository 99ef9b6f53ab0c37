from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.recipe import Recipe
from workbench.store import read_picture

TINY = ["--model", "tiny-base", "--width", "64", "--height", "64", "--steps", "2", "--device", "cpu"]


def test_generate_writes_the_file_and_prints_its_path(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "circle.png"
    done = cli("generate", *TINY, "--prompt", "a circle", "--seed", "7", "--out", str(out))
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{out}\n", "")
    picture, metadata = read_picture(out)
    assert picture.size == (64, 64)
    assert (metadata["recipe"]["prompt"], metadata["recipe"]["seed"]) == ("a circle", 7)


def test_without_out_the_picture_goes_to_the_store(cli: Any, home: Path) -> None:
    done = cli("generate", *TINY)
    path = Path(done.stdout.strip())
    assert path.is_relative_to(home / "pictures")
    assert read_picture(path)[0].size == (64, 64)


def test_the_second_run_computes_nothing_and_writes_the_same_bytes(cli: Any, tmp_path: Path) -> None:
    outs = [tmp_path / "a.png", tmp_path / "b.png"]
    told = [json.loads(cli("generate", *TINY, "--out", str(out), "--json").stdout) for out in outs]
    assert [each["reused"] for each in told] == [False, True]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert not json.loads(cli("generate", *TINY, "--again", "--json").stdout)["reused"]


def test_json_tells_everything(cli: Any, home: Path) -> None:
    told = json.loads(cli("generate", *TINY, "--json").stdout)
    assert Path(told["path"]).stem == told["digest"]
    assert Recipe.parse(told["recipe"]).steps == 2
    assert told["environment"]["device"] == "cpu"
    assert {"text", "denoise", "decode"} <= set(told["seconds"])


def test_set_and_options_are_the_same_thing(cli: Any) -> None:
    plain = ["--model", "tiny-base", "--device", "cpu"]
    words = ["width=64", "height=64", "steps=2", "guidance_scale=3", "seed=5", "prompt=a=b", "negative-prompt="]
    by_set = [word for field in words for word in ("--set", field)]
    first = json.loads(cli("generate", *plain, *by_set, "--json").stdout)
    second = json.loads(cli("generate", *TINY, "--guidance", "3", "--seed", "5", "--prompt", "a=b", "--json").stdout)
    assert first["digest"] == second["digest"]
    assert second["reused"]
    assert first["recipe"]["prompt"] == "a=b"


def test_an_empty_value_means_the_model_s_own(cli: Any) -> None:
    told = json.loads(cli("generate", *TINY, "--set", "guidance_scale=", "--json").stdout)
    assert told["recipe"]["guidance_scale"] == 4.0


def test_a_recipe_file_is_a_start(cli: Any, tmp_path: Path) -> None:
    recipe = Recipe(model="tiny-base", prompt="from the file", width=64, height=64, steps=2)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    told = json.loads(cli("generate", "--recipe", str(tmp_path / "recipe.yaml"), "--seed", "9", "--json").stdout)
    assert (told["recipe"]["prompt"], told["recipe"]["seed"]) == ("from the file", 9)
    done = cli("generate", "--recipe", str(tmp_path / "absent.yaml"))
    assert done.exit_code == 2
    assert "Cannot read the recipe" in done.stderr


def test_a_long_prompt_warns_visibly(cli: Any) -> None:
    done = cli("generate", *TINY, "--prompt", "word " * 200)
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: ")
    assert "prompt" in done.stderr
    again = cli("generate", *TINY, "--prompt", "word " * 200)
    assert again.stderr == done.stderr  # also when the picture comes from the store


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "tiny-bass"], "There is no model 'tiny-bass'. Did you mean 'tiny-base'?"),
        (["--set", "stepz=3"], "There is no recipe field 'stepz'. Did you mean 'steps'?"),
        (["--set", "steps"], "--set cannot read 'steps'. Write field=value"),
        (["--set", "steps=3"], "The recipe field 'steps' is given twice."),
        (["--set", "adapters=[{name"], "The recipe field 'adapters' cannot be '[{name'."),
        (["--set", "adapters=[{name: ink}]"], "There is no adapter 'ink'."),
        (["--steps", "0"], "The recipe field 'steps' cannot be '0'"),
        (["--steps", "many"], "The recipe field 'steps' cannot be 'many'"),
        (["--guidance", "nan"], "The recipe field 'guidance_scale' cannot be 'nan'"),
        (["--width", "72"], "The width 72 is not a multiple of 16 pixels. Use 64 or 80."),
        (["--height", "4096"], "The height 4096 is outside what tiny-base draws."),
        (["--seed", "-1"], "The recipe field 'seed' cannot be '-1'"),
        (["--precision", "int4"], "The recipe field 'precision' cannot be 'int4'"),
        (["--device", "gpu"], "The setting device cannot be 'gpu'"),
        (["--out", "picture.jpg"], "End the name in .png."),
        (["--out", "absent/picture.png"], "Make the folder first"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(cli: Any, home: Path, words: list[str], sentence: str) -> None:
    given = [word for pair in zip(TINY[::2], TINY[1::2], strict=True) if pair[0] != words[0] for word in pair]
    done = cli("generate", *given, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(home.glob("pictures/*/*"))


def test_an_out_that_cannot_be_written_is_found_before_anything_is_made(
    cli: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    done = cli("generate", *TINY, "--out", str(tmp_path / "file" / "picture.png"))
    assert done.exit_code == 2
    assert "whose parent is a folder" in done.stderr
    assert not home.exists()  # not even a session was opened


def test_a_home_that_cannot_be_used_is_a_sentence(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("generate", *TINY, "--home", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: Cannot write")


def test_a_terminal_gets_a_progress_bar_and_an_interrupt_ends_with_130(home: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = ["--model", "tiny-base", "--width", "64", "--height", "64", "--steps", "1000", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "generate", *words, "--out", str(tmp_path / "never.png")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "120"},
        # A suite that was started in the background inherits an ignored SIGINT; a person's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    os.close(theirs)
    shown = ""
    while "1%" not in shown and process.poll() is None:
        if select.select([ours], [], [], 1)[0]:
            shown += os.read(ours, 4096).decode(errors="replace")
    assert process.poll() is None, shown
    process.send_signal(signal.SIGINT)
    try:
        while text := os.read(ours, 4096):
            shown += text.decode(errors="replace")
    except OSError:  # how a pseudo-terminal says that the other side is gone
        pass
    os.close(ours)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert "Generating" in shown
    assert "Interrupted" in shown
    assert "Traceback" not in shown
    assert out == b""
    assert not (tmp_path / "never.png").exists()


def test_verify_passes_an_honest_picture_and_finds_one_changed_pixel(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    cli("generate", *TINY, "--out", str(out))
    done = cli("verify", str(out), "--device", "cpu")
    assert done.exit_code == 0
    assert "The same picture: the largest difference is 0 of 255 levels." in done.stdout
    picture, metadata = read_picture(out)
    shade = picture.getpixel((3, 4))
    assert isinstance(shade, tuple)
    picture.putpixel((3, 4), (int(shade[0]) ^ 64, int(shade[1]), int(shade[2])))
    _save(out, picture, metadata)
    done = cli("verify", str(out), "--device", "cpu")
    assert done.exit_code == 1
    assert "NOT the same picture: the largest difference is 64 of 255 levels." in done.stdout
    assert "1 pixel differs" in done.stdout
    told = cli("verify", str(out), "--device", "cpu", "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert (found["ok"], found["intact"], found["max_difference"], found["changed_pixels"]) == (False, False, 64, 1)


def test_what_cannot_be_verified_is_bad_input(cli: Any, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    for name, sentence in (("foreign.png", "does not say how it was made"), ("absent.png", "There is no file")):
        done = cli("verify", str(tmp_path / name))
        assert done.exit_code == 2
        assert sentence in done.stderr


def _save(path: Path, picture: Image.Image, metadata: dict[str, Any]) -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("workbench", json.dumps(metadata))
    picture.save(path, pnginfo=chunks)
