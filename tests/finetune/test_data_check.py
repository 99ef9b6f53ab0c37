"""`finetune check`: everything that is wrong is found, named and counted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from finetune.cli import app
from finetune.data.check import Plan, check
from finetune.data.config import DataConfig
from finetune.data.duplicates import equal_groups, near_groups
from finetune.data.estimate import KNOWN, Architecture, Design, architecture_of, saved_bytes
from finetune.data.report import Report
from tests.finetune.training import picture, put
from workbench.models import ModelCatalog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cats"
    for number in range(6):
        put(root / f"{number}.png", picture(number), f"cat number {number}")
    return root


def kinds(report: Report) -> dict[str, tuple[str, ...]]:
    return {problem.kind: problem.pictures for problem in report.findings.problems}


def look(folder: Path, **fields: object) -> Report:
    return check(DataConfig.parse({"path": str(folder), **fields}), family="flux2-klein-nano")


def test_sound_data_pass(folder: Path) -> None:
    report = look(folder)
    assert report.ok
    assert kinds(report) == {}
    assert report.verdict == "Ready to train."
    assert [(str(row.bucket), row.pictures) for row in report.findings.buckets] == [("144x112", 6)]


def test_every_kind_of_problem_is_found_at_once(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"none")
    (folder / "1.txt").unlink()
    put(folder / "2.png", picture(2, (40, 300)))
    put(folder / "6.png", picture(3), "cat number 3 again")  # pixel for pixel
    jpeg = put(folder / "7.jpg", picture(4, (320, 256)), "cat number 4", quality=60)  # like 4, and a caption of 4
    exif = Image.Exif()
    exif[0x0112] = 6
    put(folder / "8.png", picture(8, (128, 160)), "turned", exif=exif)
    put(folder / "9.png", picture(9, (150, 900)), "tall")
    put(folder / "10.png", picture(10).convert("RGBA"), "clear")
    layer = picture(11).convert("RGBA")
    layer.putalpha(Image.linear_gradient("L").resize(layer.size))
    put(folder / "11.png", layer, "half clear")
    put(folder / "12.jpg", picture(12).convert("CMYK"), "printed")
    frames = [picture(20), picture(21)]
    frames[0].save(folder / "13.gif", save_all=True, append_images=frames[1:])
    (folder / "13.txt").write_text("moving", encoding="utf-8")
    report = look(folder)
    assert not report.ok
    assert jpeg.exists()
    assert kinds(report) == {
        "unreadable": ("cats/0.png",),
        "no caption": ("cats/1.png",),
        "too small": ("cats/2.png",),
        "duplicates": ("cats/3.png", "cats/6.png"),
        "near duplicates": ("cats/4.png", "cats/7.jpg"),
        "identical captions": ("cats/4.png", "cats/7.jpg"),
        "animation": ("cats/13.gif",),
        "much cut off": ("cats/9.png",),
        "EXIF orientation": ("cats/8.png",),
        "transparency": ("cats/10.png", "cats/11.png"),
        "colour mode": ("cats/12.jpg",),
        "below the resolution": ("cats/2.png",),
    }
    assert report.verdict == "3 kinds of problems must be repaired before training."
    assert len(report.findings.examples) == len(report.findings.scanned) - 3


def test_pairs_that_show_no_change(folder: Path) -> None:
    for number in range(6):
        put(folder / "control" / f"{number}.png", picture(number if number == 2 else 50 + number))
    assert kinds(look(folder)) == {"nothing changes": ("cats/2.png",)}


def test_held_out_pictures_that_leak(folder: Path) -> None:
    for number in range(6):
        put(folder / f"{number}b.png", ImageEnhance.Brightness(picture(number)).enhance(0.97), f"dim {number}")
    assert "held out" in kinds(look(folder, held_out=2))


def test_long_captions_are_counted_with_the_models_own_tokenizer(folder: Path, tiny_catalog: ModelCatalog) -> None:
    model = tiny_catalog.model("tiny-base")
    (folder / "0.txt").write_text("word " * 400, encoding="utf-8")
    report = check(str(folder), model=model)
    assert kinds(report)["long captions"] == ("cats/0.png",)
    import torch

    from workbench.engine.text import tokenize
    from workbench.models.loading import load

    parts = load(model, "float32", torch.device("cpu"))
    whole = tokenize(parts, ("word " * 400).strip(), model.max_sequence_length).total
    assert report.findings.longest_caption == whole


def test_near_duplicates_survive_what_happens_to_pictures_on_their_way() -> None:
    base = picture(1, (256, 192))
    changed = [
        base.resize((200, 150), Image.Resampling.LANCZOS),
        ImageEnhance.Brightness(base).enhance(1.05),
        base.crop((2, 2, 254, 190)),
    ]
    others = [picture(seed, (256, 192)) for seed in range(2, 40)]
    assert near_groups([base, *others, *changed]) == [[0, 39, 40, 41]]


def test_flat_pictures_are_not_called_alike_because_they_are_flat() -> None:
    """A dot that moves is another picture, although hashes of flat pictures hardly differ."""
    pictures = []
    for place in range(8):
        dot = Image.new("RGB", (128, 128), "white")
        dot.paste((200, 0, 0), (12 * place, 40, 12 * place + 24, 64))
        pictures.append(dot)
    assert near_groups(pictures) == []
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    assert near_groups([red, blue, red.resize((96, 96))]) == [[0, 2]]


def test_equal_groups_leave_out_what_could_not_be_read() -> None:
    assert equal_groups(["a", "", "b", "a", "", "a"]) == [[0, 3, 5]]


def test_estimates_are_those_of_published_checkpoints(folder: Path) -> None:
    """Figures of the literature: 24.1 M weights at rank 16 and about 79 TFLOP a step of 1024 px for klein 4B."""
    big = folder.parent / "big"
    put(big / "a.png", picture(1, (1024, 1024)), "a cat")
    report = check(str(big), model="FLUX.2-klein-base-4B", plan=Plan(steps=10))
    made = report.findings.estimate
    assert made is not None
    assert made.checkpoint == pytest.approx(24.1e6 * 12, rel=0.01)
    assert made.tera_operations == pytest.approx(79, rel=0.05)
    assert 20e9 < made.memory < 27e9
    assert made.memory_recomputed < 12e9
    assert made.seconds is None
    large = [
        check(str(big), model="FLUX.2-klein-base-9B", plan=Plan(quant=quant)).findings for quant in ("none", "nf4")
    ]
    whole, packed = (each.estimate for each in large)
    assert whole is not None
    assert packed is not None
    assert packed.memory_recomputed < 16 * 2**30 < whole.memory_recomputed
    for name, parameters in (("FLUX.1-dev", 65.4e6), ("flux-3-image-klein-base", 35.5e6)):
        made = check(str(big), model=name).findings.estimate
        assert made is not None
        assert made.checkpoint == pytest.approx(parameters * 12, rel=0.01)


def test_estimates_of_a_model_that_is_here_have_a_time(folder: Path, tiny_catalog: ModelCatalog) -> None:
    report = check(str(folder), model=tiny_catalog.model("tiny-base"), plan=Plan(rank=4, steps=50, batch_size=2))
    made = report.findings.estimate
    assert made is not None
    assert made.seconds is not None
    assert made.seconds > 0
    assert made.epochs == pytest.approx(50 * 2 / 6)
    assert any("s a step" in value for _, value in report.estimate_rows())


def transformer(design: Design, double: int, single: int) -> Any:
    """A transformer 256 wide, with random weights."""
    import diffusers

    common = {"in_channels": 16, "num_layers": double, "num_single_layers": single, "attention_head_dim": 64,
              "num_attention_heads": 4, "joint_attention_dim": 64}  # fmt: skip
    if design == "flux1":
        return diffusers.FluxTransformer2DModel(**common, pooled_projection_dim=12, axes_dims_rope=(16, 24, 24))
    if design == "flux2":
        return diffusers.Flux2Transformer2DModel(
            **common, timestep_guidance_channels=32, axes_dims_rope=(16, 16, 16, 16), guidance_embeds=False
        )
    return diffusers.Flux3Transformer2DModel(
        **common, cond_in_channels=16, timestep_channels=32, axes_dims_rope=(16, 16, 16, 16)
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("design", "family"), [("flux1", "flux1-dev"), ("flux2", "flux2-klein"), ("flux3", "flux3-klein")]
)
def test_memory_for_the_backward_pass_is_what_autograd_saves(design: Design, family: str, precision: str) -> None:
    """Counted with saved-tensor hooks on small transformers with an adapter on every layer of their blocks."""
    import torch

    from finetune.adapters import attach
    from finetune.config import AdapterConfig
    from finetune.families import TRAIN_FAMILIES

    picture_tokens, text_tokens, axes = 512, 128, 3 if design == "flux1" else 4
    dtype = getattr(torch, precision)

    def saved(double: int, single: int) -> tuple[int, int]:
        torch.manual_seed(0)
        model = transformer(design, double, single)
        for name, parameter in model.named_parameters():
            if design != "flux3" or ("norm_q" not in name and "norm_k" not in name):  # which diffusers keeps in float32
                parameter.data = parameter.data.to(dtype)
        trained = attach(model, AdapterConfig(rank=4), TRAIN_FAMILIES[family].blocks, 0)
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, int] = {}
        alive: list[torch.Tensor] = []  # so that no address is used twice

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            alive.append(tensor)
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        more = {"pooled_projections": torch.randn(1, 12, dtype=dtype)} if design == "flux1" else {}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(
                hidden_states=torch.randn(1, picture_tokens, 16, dtype=dtype),
                timestep=torch.tensor([0.5]),
                encoder_hidden_states=torch.randn(1, text_tokens, 64, dtype=dtype),
                txt_ids=torch.zeros(text_tokens, axes),
                img_ids=torch.zeros(picture_tokens, axes),
                **more,
            )
        return sum(kept.values()), sum(parameter.numel() for parameter in trained)

    (one, few), (more, many) = saved(1, 1), saved(2, 3)
    shape: dict[str, Any] = {"width": 256, "channels": 16, "text_width": 64, "text_tokens": text_tokens}
    told = [
        Architecture(double=d, single=s, parameters=0.0, design=design, **shape) for d, s in ((1, 1), (2, 3))
    ]  # fmt: skip
    bytes_told = [saved_bytes(picture_tokens + text_tokens, each, precision) for each in told]
    assert more - one == pytest.approx(bytes_told[1] - bytes_told[0], rel=0.03)
    weights = [each.adapter_parameters(4) for each in told]
    assert many - few == weights[1] - weights[0]


def test_architectures_are_read_from_the_models_files(tiny_catalog: ModelCatalog) -> None:
    model = tiny_catalog.model("tiny-base")
    found = architecture_of(model.path, text_tokens=512, parameters=model.parameters)
    assert found is not None
    assert (found.width, found.double, found.single, found.channels) == (64, 2, 2, 16)
    assert KNOWN["FLUX.2-klein-base-9B"].adapter_parameters(16) == pytest.approx(43.5e6, rel=0.01)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.exit_code, done.output


def test_the_command_says_what_is_wrong_and_exits_with_one(folder: Path, tmp_path: Path) -> None:
    code, out = run(str(folder), "--family", "flux2-klein-nano")
    assert code == 0
    assert "Ready to train." in out
    (folder / "0.png").write_bytes(b"none")
    page = tmp_path / "report.html"
    code, out = run(str(folder), "--family", "flux2-klein-nano", "--out", str(page))
    assert code == 1
    assert "unreadable" in out
    assert "cats/0.png" in out
    assert "must be repaired" in page.read_text(encoding="utf-8")
    code, out = run(str(folder), "--family", "flux2-klein-nano", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["problems"][0]["pictures"] == ["cats/0.png"]
    assert (found["pictures"], found["sound"], found["ok"]) == (6, 5, False)


def test_the_file_of_a_run_says_what_to_estimate(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        f"model: FLUX.2-klein-base-4B\ndata: {folder}\nadapter: {{rank: 8}}\nbatch_size: 2\nsteps: 30\nquant: int8\n",
        encoding="utf-8",
    )
    code, out = run(str(path), "--steps", "40")
    assert code == 0
    assert "FLUX.2-klein-base-4B, rank 8, batch 2, bfloat16 base in int8" in out
    assert "40: every picture" in out
    code, out = run(str(path), "--quant", "int9")
    assert code == 2
    assert "Did you mean 'int8'" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "There is no folder"),
        (["FOLDER", "--family", "flux2-klien"], "Did you mean 'flux2-klein'"),
        (["FOLDER", "--model", "no-model"], "no-model"),
        (["FOLDER", "--resolution", "8"], "16 to 4096"),
    ],
)
def test_wrong_input_exits_with_two(folder: Path, arguments: list[str], words: str) -> None:
    code, out = run(*[str(folder) if each == "FOLDER" else each for each in arguments])
    assert code == 2, out
    assert words in out


def test_the_page_fetches_nothing_and_escapes_everything(folder: Path) -> None:
    evil = "<script>alert(1)</script>"
    for number in range(2):
        (folder / f"{number}.txt").write_text(evil, encoding="utf-8")
    report = look(folder)
    html = report.to_html()
    assert evil not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert html.count("<img") == 2
    fragment = report._repr_html_()
    assert "<html" not in fragment
    assert "identical captions" in fragment


def test_reading_and_configuring_load_no_heavy_package() -> None:
    code = (
        "import sys, finetune.data, finetune.data.cli, finetune.data.check;"
        "heavy = {'torch', 'transformers', 'diffusers', 'pandas', 'matplotlib', 'datasets', 'scipy', 'imagehash'};"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
