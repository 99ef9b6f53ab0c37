"""A form for a new run: the few fields that matter, the others as YAML, a check of the data, and Start.

The form builds its configuration as the command line does and starts the same process; what it would run stands below
it as YAML, which `finetune train FILE` runs as well.
"""

from __future__ import annotations

import threading
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import yaml

from finetune.config import TrainConfig, TrainConfigError
from finetune.panels.run import RunPanel
from finetune.presets import PRESETS, build_config
from finetune.run import start_run
from workbench.panels.banner import Banner
from workbench.panels.base import CSS
from workbench.panels.worker import shared_session

if TYPE_CHECKING:
    from workbench.session import Session

FIELDS = {  # label, dotted name; in the order of the form
    "model": "model",
    "data": "data",
    "trigger": "data.trigger",
    "held out": "data.held_out",
    "name": "name",
    "steps": "steps",
    "batch size": "batch_size",
    "rank": "adapter.rank",
    "learning rate": "optimiser.learning_rate",
    "preview every": "previews.every",
    "checkpoint every": "checkpoint_every",
}


class TrainPanel(widgets.VBox):
    """Set up a run, check its data, start it, and watch it.

    Args:
        session: models and home; None: the one that all panels without one share.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or shared_session()
        self.banner = Banner()
        self.preset = widgets.Dropdown(options=["", *PRESETS], description="preset").add_class("ft-preset")
        self.controls = {label: self._control(label) for label in FIELDS}
        self.prompts = widgets.Textarea(
            description="previews", placeholder="prompts, one a line; empty: held-out captions"
        ).add_class("ft-prompts")
        self.more = widgets.Textarea(
            description="more", placeholder="other fields as YAML, such as\nprior: pictures"
        ).add_class("ft-more")
        self.check_button = widgets.Button(description="Check", icon="search", tooltip="Look at the data first.")
        self.start_button = widgets.Button(description="Start", icon="play", tooltip="Train in a process of its own.")
        self.check_button.add_class("ft-check").on_click(self.banner.guarded(lambda _: self.check()))
        self.start_button.add_class("ft-start").on_click(self.banner.guarded(lambda _: self.start()))
        self.text = widgets.HTML().add_class("ft-yaml")
        self.report = widgets.HTML()
        self.runs = widgets.VBox()
        self.checking: threading.Thread | None = None
        for control in (self.preset, self.prompts, self.more):
            control.layout, control.style.description_width = widgets.Layout(width="auto"), "130px"
        style = widgets.HTML(f"<style>{CSS}</style>", layout=widgets.Layout(display="none"))
        grid = widgets.GridBox(
            [self.preset, *self.controls.values(), self.prompts, self.more],
            layout=widgets.Layout(grid_template_columns="repeat(2, minmax(0, 1fr))"),
        )
        buttons = widgets.HBox([self.check_button, self.start_button]).add_class("wb-actions")
        super().__init__([style, grid, buttons, self.banner, self.runs, self.text, self.report])
        self.add_class("wb-panel")
        for control in (self.preset, *self.controls.values(), self.prompts, self.more):
            control.observe(lambda _: self._show_config(), names="value")
        self._show_config()

    def _control(self, label: str) -> Any:
        control: Any
        if label == "model":
            names = [model.name for model in self.session.catalog.models() if not model.is_distilled]
            control = widgets.Dropdown(options=names)
        else:
            placeholder = {"data": "folder, .jsonl, .parquet or owner/name", "trigger": "word for what is learned"}
            control = widgets.Text(placeholder=placeholder.get(label, "default"), continuous_update=False)
        control.description = label
        control.layout, control.style.description_width = widgets.Layout(width="auto"), "130px"
        return control.add_class(f"ft-field-{label.replace(' ', '-')}")

    def config(self) -> TrainConfig:
        """The configuration that the form stands for.

        Raises:
            TrainConfigError: a field is wrong, or `more` is no YAML mapping.
            DataConfigError: the same inside `data`.
        """
        fields: dict[str, Any] = {}
        for label, name in FIELDS.items():
            value = self.controls[label].value
            if value not in (None, ""):
                fields[name] = value if label in ("model", "data", "trigger", "name") else yaml.safe_load(value)
        if prompts := [line.strip() for line in self.prompts.value.splitlines() if line.strip()]:
            fields["previews.prompts"] = prompts
        fields |= flat(self.more.value)
        return build_config(preset=self.preset.value or "", fields=fields)

    def check(self) -> None:
        """Look at the data in the background, and show the report."""
        from finetune.data.check import Plan, check

        config = self.config()
        model = self.session.catalog.model(config.model)
        plan = Plan(config.adapter.rank, config.batch_size, config.steps, quant=config.quant)
        self.check_button.disabled = True
        self.report.value = "Looking at the pictures ..."

        def look() -> None:
            with self.banner.guard():
                try:
                    self.report.value = ""
                    self.report.value = check(config.data, model=model, plan=plan).to_html()
                finally:
                    self.check_button.disabled = False

        self.checking = threading.Thread(target=look, name="finetune-check", daemon=True)
        self.checking.start()

    def start(self) -> RunPanel:
        """Start the run; its panel appears below.

        Raises:
            RunError: there is a run of this name.
            TrainConfigError: as `config`.
        """
        chosen = self.session.settings
        handle = start_run(self.config(), home=chosen.home, models=chosen.models)
        panel = RunPanel(handle, home=chosen.home)
        self.banner.clear()
        self.runs.children = (panel, *self.runs.children)
        return panel

    def _show_config(self) -> None:
        """The YAML of what would run, or what is wrong; only data that are not named yet are no mistake."""
        if not self.controls["data"].value:
            self.text.value = "Name a folder of pictures."
            return
        with self.banner.guard():
            values = self.config().model_dump(mode="json", exclude_unset=True)
            self.banner.clear()
            self.text.value = f"<pre>{escape(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))}</pre>"


def flat(text: str) -> dict[str, Any]:
    """The fields of a YAML mapping by their dotted names.

    Raises:
        TrainConfigError: it is no mapping.
    """
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise TrainConfigError(f"The further fields are not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise TrainConfigError("The further fields are no mapping.", "Write 'field: value'.")
    found: dict[str, Any] = {}
    for name, value in values.items():
        inner = {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        found |= inner
    return found
