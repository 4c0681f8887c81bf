"""One run of the study, part by part: data, training with recording, panel, causal map.

Each part leaves its table in the run folder and a record in the journal; a part that is on
record is not done again, so that an interrupted study goes on where it stood.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from nucleate._core.progress import Watcher, stoppable
from nucleate.activations import capture, stream_names
from nucleate.intervene import causal_map, look_closely
from nucleate.panel import measure
from nucleate.recording import Recorder
from nucleate.runs import Run, States
from nucleate.studies._check import check_same, schedule_of
from nucleate.studies._config import Outputs, ReproduceConfig
from nucleate.studies._material import Material, prepare
from nucleate.studies._provenance import peak_memory_bytes, provenance
from nucleate.training import (
    Batches,
    build_model,
    check_regularizer,
    device_of,
    load_weights,
    train,
)


def run_once(config: ReproduceConfig, outputs: Outputs, path: Path, watcher: Watcher) -> None:
    """Do every part of one run that its folder does not have yet.

    Raises:
        BadInput: the tasks cannot be made, or the folder holds a run of another configuration.
        RunFailed: the loss is not finite, or the disk is full.
        Interrupted: the user stopped it.
    """
    material = prepare(config, outputs)
    model = build_model(
        config.model,
        vocab_size=material.encoder.vocab_size,
        max_length=material.longest,
        seed=config.seed_of("weights"),
    )
    run = _open(config, outputs, path, material, model)
    job = _Job(config, run, material, model, watcher)
    job.once("training", job.train)
    job.once("panel", job.measure)
    if config.causal.rows:
        job.once("causal map", job.map_causes)


@dataclass(frozen=True)
class _Job:
    config: ReproduceConfig
    run: Run
    material: Material
    model: PreTrainedModel
    watcher: Watcher

    def once(self, name: str, work: Callable[[], dict[str, float] | None]) -> None:
        """Do a part unless it is on record; it may say itself how long its pieces took."""
        if self.run.journal.last("part", name=name):
            return
        began = time.perf_counter()
        pieces = work() or {name: time.perf_counter() - began}
        for piece, seconds in pieces.items():
            self.run.journal.append(
                "part",
                durable=True,
                name=piece,
                seconds=seconds,
                step=self.config.training.steps,
                peak_memory_bytes=peak_memory_bytes(),
            )

    def train(self) -> dict[str, float]:
        """Train and record."""
        config = self.config
        batches = Batches(
            self.material.taskset,
            self.material.encoder,
            batch_size=config.training.batch_size,
            seed=config.seed_of("batches"),
            scrambled=config.null == "scrambled",
            hard_negatives=config.training.hard_negatives,
            curriculum=config.training.curriculum,
            curriculum_steps=round(config.training.curriculum_until * config.training.steps),
        )
        tick = self.watcher.part(f"{self.run.path.name}: training", config.training.steps)
        with Recorder(self.run, None, schedule_of(config)) as recorder:
            trained = train(
                self.model,
                batches,
                config.training,
                self.run,
                recorder,
                seed=config.seed_of("dropout"),
                progress=lambda step, loss: tick(step, f"loss {loss:.3f}"),
                stopping=self.watcher.stopping,
            )
        return {
            "data": self.material.seconds,
            "recording": trained.recording_seconds,
            "training": trained.seconds,
        }

    def measure(self) -> None:
        """The panel of every snapshot, with nulls, into `panel.csv`."""
        self.run.save_untrained(self._untrained())
        # All settings are the run's own: `measure` finds them in the manifest.
        measure(self.run, progress=stoppable(self.watcher, f"{self.run.path.name}: panel"))

    def map_causes(self) -> None:
        """The causal map of the trained model, and a closer look where a shift does most."""
        load_weights(self.run, self.model)
        model = self.model.to(device_of(self.config.training)).eval()
        rows, seed = self.config.causal.rows, self.config.seed_of("causal")
        found = causal_map(
            model,
            self.run.prompts,
            rows=rows,
            seed=seed,
            progress=stoppable(self.watcher, f"{self.run.path.name}: causal map"),
        )
        found.save(self.run.path)
        if found.strongest is not None:
            look_closely(
                model,
                self.run.prompts,
                *found.strongest,
                folder=self.run.path,
                rows=rows,
                seed=seed,
            )

    def _untrained(self) -> list[States]:
        """States of models with fresh weights: what the architecture alone does to the text."""
        found = []
        for index in range(self.config.panel.untrained):
            fresh = build_model(
                self.config.model,
                vocab_size=self.material.encoder.vocab_size,
                max_length=self.material.longest,
                seed=self.config.seed_of(f"untrained {index}"),
                untrained=True,
            )
            found.append(capture(fresh, self.run.prompts))
        return found


def _open(
    config: ReproduceConfig,
    outputs: Outputs,
    path: Path,
    material: Material,
    model: PreTrainedModel,
) -> Run:
    """The run's folder: the one that is there if it is of this configuration, else a new one."""
    schedule_of(config)
    if config.training.regularizer is not None:
        check_regularizer(config.training.regularizer, model, material.taskset.order)
    resolved = config.resolved(outputs)
    if (path / "manifest.json").exists():
        run = Run(path)
        check_same(path, run.manifest, resolved)
        return run
    return Run.create(
        path,
        material.prompts,
        {
            "name": path.name,
            "outputs": outputs,
            "config": resolved,
            "config_hash": config.content_hash(outputs=[outputs]),
            "tasks": material.taskset.name,
            "taskset_hash": material.taskset.content_hash(),
            "overlaps": [list(pair) for pair in material.taskset.overlaps],
            "streams": list(stream_names(model)),
            "positions": list(material.prompts.positions),
            "parameters": sum(p.numel() for p in model.parameters()),
            "compute_dtype": "float32",
            "stored_dtype": "float16, bfloat16 where a value is beyond its range",
            "provenance": provenance(device_of(config.training)),
        },
    )
