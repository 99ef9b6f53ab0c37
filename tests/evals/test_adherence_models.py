from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evals.adherence.clip import ClipScore, SiglipScore
from evals.adherence.colours import GENEVAL_COLOURS, TEMPLATES, ClipColours, cut_out
from evals.adherence.detections import Detection
from evals.adherence.encoders import DualEncoder
from evals.adherence.geneval import GenEvalGroundingDino, GenEvalMask2Former, GenEvalOwlv2
from evals.adherence.preference import HumanPreference, PickScore
from evals.adherence.transformers_detectors import GroundingDino, Mask2Former, Owlv2
from evals.adherence.weights import find_weights, fingerprint_file
from evals.scoring import Sample, ScorerError, picture_digest
from tests.evals.tiny_vision import (
    write_clip,
    write_grounding_dino,
    write_mask2former,
    write_owlv2,
    write_siglip,
)


def noise(seed: int, size: tuple[int, int] = (50, 40)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def samples(count: int, **ask: object) -> list[Sample]:
    pictures = [noise(seed) for seed in range(count)]
    prompts = [f"a photo of {number} dogs" for number in range(count)]
    return [Sample(each, text, picture_digest(each), ask) for each, text in zip(pictures, prompts, strict=True)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


class TorchmetricsClip(torch.nn.Module):
    """The same model for torchmetrics, which expects the features themselves instead of the output that holds them."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPModel

        super().__init__()
        self.model = CLIPModel.from_pretrained(folder)
        self.config = self.model.config

    def get_image_features(self, pixel_values: torch.Tensor) -> Any:
        return self.model.get_image_features(pixel_values).pooler_output

    def get_text_features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.model.get_text_features(input_ids, attention_mask).pooler_output


def torchmetrics_processor(folder: Path) -> Any:
    from transformers import AutoTokenizer, CLIPImageProcessorPil

    tokenizer, pictures = AutoTokenizer.from_pretrained(folder), CLIPImageProcessorPil.from_pretrained(folder)

    def process(text: Any = None, images: Any = None, **_: Any) -> Any:
        if images is not None:
            return pictures(images=images, return_tensors="pt")
        return tokenizer(text, padding=True, return_tensors="pt")

    return process


def test_clipscore_is_that_of_torchmetrics(clip: Path) -> None:
    from torchmetrics.functional.multimodal import clip_score

    given = samples(6)
    scores = ClipScore(clip, device="cpu").score(given)
    values = [score.values["cosine_100"] for score in scores]
    for sample, value in zip(given, values, strict=True):
        pixels = torch.from_numpy(np.array(sample.picture)).permute(2, 0, 1)
        with torch.no_grad():
            # One at a time: the clamp at zero is on the mean.
            theirs = clip_score(
                [pixels], [sample.prompt], lambda: (TorchmetricsClip(clip), torchmetrics_processor(clip))
            )
        assert value is not None
        assert max(value, 0.0) == pytest.approx(theirs.item(), abs=1e-4)
    assert len(set(values)) == 6
    assert max(value for value in values if value is not None) > 1  # so that the clamp hides not everything


def test_hessels_clipscore_has_its_prefix_and_clamp(clip: Path) -> None:
    given = samples(4)
    encoder = DualEncoder(clip, "CLIP", device="cpu")
    texts = encoder.texts([f"A photo depicts {each.prompt}" for each in given])
    cosines = (encoder.pictures([each.picture for each in given]) * texts).sum(axis=1)
    scores = ClipScore(clip, device="cpu").score(given)
    assert [score.values["hessel"] for score in scores] == pytest.approx(
        [2.5 * max(0, each) for each in cosines], abs=1e-5
    )


def test_a_prompt_that_is_too_long_is_cut_and_said(clip: Path) -> None:
    picture = noise(1)
    long = " ".join(["dog"] * 60)
    scores = ClipScore(clip, device="cpu").score([Sample(picture, long, ""), Sample(picture, "dog", "")])
    assert [score.seen["prompt_cut"] for score in scores] == [True, False]
    tokens = DualEncoder(clip, "CLIP", device="cpu")._parts[2](long, truncation=True, max_length=77)["input_ids"]
    assert len(tokens) == 77
    assert tokens[-1] == tokens[0] + 1  # the end mark stays: without it the text's vector means nothing


def test_one_unusable_picture_spoils_no_other(clip: Path) -> None:
    given = samples(3)
    given[1] = Sample(Image.new("RGB", (0, 0)), "nothing", "")
    scores = ClipScore(clip, device="cpu").score(given)
    assert [bool(score.error) for score in scores] == [False, True, False]
    assert scores[0].values == ClipScore(clip, device="cpu").score(given[:1])[0].values


def test_siglip_gives_its_probability(tmp_path: Path) -> None:
    from transformers import SiglipModel

    folder = write_siglip(tmp_path / "siglip")
    given = samples(2)
    model = SiglipModel.from_pretrained(folder).eval()
    encoder = DualEncoder(folder, "SigLIP", device="cpu")
    _, processor, tokenizer = encoder._parts
    tokens = tokenizer(
        [each.prompt for each in given], padding="max_length", truncation=True, max_length=16, return_tensors="pt"
    )
    pixels = processor(images=[each.picture for each in given], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        theirs = model(input_ids=tokens["input_ids"], pixel_values=pixels).logits_per_image.sigmoid().diagonal()
    ours = [score.values["match"] for score in SiglipScore(folder, device="cpu").score(given)]
    assert ours == pytest.approx(theirs.tolist(), abs=1e-5)


def test_preferences_are_scaled_cosines(clip: Path) -> None:
    given = samples(3)
    encoder = DualEncoder(clip, "CLIP", device="cpu")
    cosines = (encoder.pictures([s.picture for s in given]) * encoder.texts([s.prompt for s in given])).sum(axis=1)
    pick = [score.values["pickscore"] for score in PickScore(clip, device="cpu").score(given)]
    assert pick == pytest.approx((encoder.scale * cosines).tolist(), abs=1e-4)
    hps = [score.values["hps"] for score in HumanPreference(clip, device="cpu").score(given)]
    assert hps == pytest.approx((100 * cosines).tolist(), abs=1e-4)


@pytest.mark.parametrize(
    "make", [ClipScore, SiglipScore, PickScore, HumanPreference, GenEvalMask2Former, GenEvalOwlv2, GenEvalGroundingDino]
)
def test_without_weights_the_message_says_how_to_get_them(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ScorerError, match=r"hf download|Convert"):
        make()
    with pytest.raises(ScorerError, match=r"config\.json"):
        make(tmp_path)


def test_weights_come_from_the_hubs_cache_or_a_folder(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    snapshot = tmp_path / "models--someone--tiny-clip" / "snapshots" / ("0" * 40)
    shutil.copytree(clip, snapshot)
    (tmp_path / "models--someone--tiny-clip" / "refs").mkdir()
    (tmp_path / "models--someone--tiny-clip" / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = find_weights("someone/tiny-clip", "CLIPScore")
    assert found.folder == snapshot
    assert found.fingerprint == find_weights(str(clip), "CLIPScore").fingerprint
    for absent in (tmp_path / "absent", str(tmp_path / "absent"), "./absent/folder/here"):
        with pytest.raises(ScorerError, match="there is no folder"):
            find_weights(absent, "CLIPScore")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ScorerError, match="no safetensors"):
        find_weights(tmp_path, "CLIPScore")


def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    score = ClipScore(tmp_path, device="cpu").score(samples(1))[0]
    assert "cannot be loaded as AutoModel" in score.error


def test_versions_follow_the_weights(clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other", seed=9)
    assert ClipScore(clip).version == ClipScore(clip).version != ClipScore(other).version
    large = tmp_path / "large"
    large.write_bytes(b"\0" * 3_000_000)
    before = fingerprint_file(large)
    with large.open("r+b") as stream:
        stream.seek(2_999_999)
        stream.write(b"\1")
    assert fingerprint_file(large) != before


def test_colours_by_clip_are_genevals_classifier(clip: Path) -> None:
    encoder = DualEncoder(clip, "CLIP", device="cpu")
    picture, mask = noise(3), np.zeros((40, 50), dtype=bool)
    mask[5:30, 5:30] = True
    found = [Detection("cup", (5, 5, 30, 30), 1.0, mask), Detection("cup", (10, 0, 50, 40), 1.0)]
    named = ClipColours(encoder).name(picture, found, "cup")
    pictures = encoder.pictures([cut_out(picture, each) for each in found])
    for own, name in zip(pictures, named, strict=True):
        sums = {}
        for colour in GENEVAL_COLOURS:
            vector = encoder.texts([each.format(colour=colour, label="cup") for each in TEMPLATES]).mean(axis=0)
            sums[colour] = float(own @ vector / np.linalg.norm(vector))
        assert name == max(sums, key=lambda colour: sums[colour])


def test_owlv2_agrees_with_its_own_processor(tmp_path: Path) -> None:
    folder = write_owlv2(tmp_path / "owlv2")
    detector, picture, wanted = Owlv2(folder, device="cpu"), noise(0, (90, 50)), ["dog", "cat"]
    ours = detector.detect([picture], [wanted])[0]
    with torch.no_grad():
        tokens = detector._tokenizer(
            [f"a photo of a {each}" for each in wanted], padding="max_length", max_length=32, return_tensors="pt"
        )
        output = detector._model(**tokens, **detector._inputs(picture))
    theirs = detector._processor.post_process_object_detection(output, threshold=0.05, target_sizes=[(50, 90)])[0]
    inside = [index for index, box in enumerate(theirs["boxes"].tolist()) if box[1] < 50]  # others lie in the padding
    assert len(ours) == len(inside) > 1
    for each, index in zip(ours, inside, strict=True):
        assert each.score == pytest.approx(theirs["scores"][index].item(), abs=1e-5)
        assert each.label == wanted[theirs["labels"][index]]
        box = theirs["boxes"][index].clamp(min=0).minimum(torch.tensor([90, 50, 90, 50]))
        assert list(each.box) == pytest.approx(box.tolist(), abs=1e-3)


def test_grounding_dino_agrees_with_its_own_processor(tmp_path: Path) -> None:
    from transformers import GroundingDinoProcessor

    folder = write_grounding_dino(tmp_path / "dino")
    detector, picture = GroundingDino(folder, device="cpu"), noise(0, (90, 50))
    (ours,) = detector.detect([picture], [["dog"]])
    processor = GroundingDinoProcessor(detector._processor, detector._tokenizer)
    inputs = processor(images=picture, text=[["dog"]], return_tensors="pt")
    with torch.no_grad():
        output = detector._model(**inputs)
    theirs = processor.post_process_grounded_object_detection(
        output, inputs["input_ids"], threshold=0.0, target_sizes=[(50, 90)]
    )[0]
    chances = output.logits[0].sigmoid()
    assert len(ours) > 1
    boxes = theirs["boxes"].tolist()
    for each in ours:
        box = min(boxes, key=lambda other: max(abs(a - b) for a, b in zip(each.box, other, strict=True)))
        assert max(abs(a - b) for a, b in zip(each.box, box, strict=True)) < 1e-3 or box[0] < 0 or box[2] > 90
        own = chances[boxes.index(box), 1:4]  # d, o, g: between the mark of the beginning and the full stop
        assert each.score == pytest.approx(own.max().item(), abs=1e-5)


def test_grounding_dino_tells_classes_apart_that_share_words(tmp_path: Path) -> None:
    detector = GroundingDino(write_grounding_dino(tmp_path / "dino"), device="cpu")
    found = detector.detect([noise(0)], [["dog", "hot dog", "cat"]])[0]
    assert {each.label for each in found} <= {"dog", "hot dog", "cat"}
    with pytest.raises(ValueError, match="reads 256"):
        detector.detect([noise(0)], [[f"elephant {number}" for number in range(60)]])


def test_mask2former_scores_and_frames_its_masks(tmp_path: Path) -> None:
    folder = write_mask2former(tmp_path / "mask2former")
    detector, picture = Mask2Former(folder, device="cpu"), noise(0, (90, 50))
    assert detector.classes == frozenset({"dog", "computer mouse", "cup"})
    names = ["dog", "computer mouse", "cup"]
    (ours,) = detector.detect([picture], [names])
    with torch.no_grad():
        output = detector._model(**detector._inputs(picture))
    chances = output.class_queries_logits[0].softmax(-1)[:, :-1]
    best = sorted(chances.flatten().tolist(), reverse=True)[: len(chances)]
    assert 1 < len(ours) <= len(chances)
    for each in ours:
        assert each.mask is not None
        assert each.mask.shape == (50, 90)
        rows, columns = np.nonzero(each.mask)
        assert each.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        # The mean probability inside a mask lies between a half and one.
        assert any(0.5 * chance < each.score < chance for chance in best)
    (dogs,) = detector.detect([picture], [["dog"]])
    assert [each.to_dict() for each in dogs] == [each.to_dict() for each in ours if each.label == "dog"]


def test_the_scorers_run_on_tiny_detectors(clip: Path, tmp_path: Path) -> None:
    given = samples(2, objects=[{"class": "dog", "colour": "red"}, {"class": "cup"}])
    scorer = GenEvalMask2Former(write_mask2former(tmp_path / "mask2former"), clip=clip, device="cpu")
    for score in scorer.score(given):
        assert score.error == ""
        assert score.values["correct"] in {0.0, 1.0}
        json.dumps(score.seen)
    unknown = scorer.score(samples(1, objects=[{"class": "zebra"}]))[0]
    assert "cannot find 'zebra'" in unknown.error
    owl = GenEvalOwlv2(write_owlv2(tmp_path / "owlv2"), device="cpu")
    assert [score.error for score in owl.score(given)] == ["", ""]
    assert "mask2former" in scorer.version
    assert "owlv2" in owl.version
