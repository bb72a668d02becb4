"""One training run, told from top to bottom.

Prepare the films, train the head on frozen features, fine-tune the upper blocks,
calibrate, choose the threshold, evaluate on patients that none of this saw, export for
serving, check that serving gives the same scores, register. All that a run leaves
behind is in its folder; a run that was cut off goes on from its last whole epoch.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr import disk
from cxr.datasets import folders, lineage, places, prepared
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.lineage import Settled
from cxr.datasets.splits import NOTHING_SETTLED, split_by_patient
from cxr.errors import DatasetError, JobError
from cxr.jobs import heartbeat
from cxr.names import printable
from cxr.runs import architectures, backbone, continuation, estimate, run_folder
from cxr.runs.config import TrainConfig
from cxr.runs.continuation import StartModel
from cxr.runs.devices import find
from cxr.runs.estimate import Clock, Speeds
from cxr.runs.run_folder import Run
from cxr.training import accelerator, continuing, networks, publication
from cxr.training.batches import PreparedSplit
from cxr.training.callbacks import load_best
from cxr.training.checkpoints import newest
from cxr.training.learning import fine_tune, train_head

logger = logging.getLogger(__name__)

MEASURED_FILMS = 320
# The longest that a run says nothing while a graph is built, exported or evaluated.
LONG_SILENCE = 900


def train(config: TrainConfig, run_dir: Path, models_dir: Path, cache_dir: Path) -> str:
    """Runs, or goes on with, one training and returns the new model's id.

    Args:
        config: what to do.
        run_dir: this run's own folder; what is there is resumed.
        models_dir: where the result is registered, as a candidate.
        cache_dir: where prepared films and measured speeds are kept.

    Raises:
        DatasetError: the films can't be used.
        ModelError: the backbone weights can't be had, or serving disagrees.
        JobError: the run in this folder is one on other films or of another network,
            the validation loss was never finite, or memory is too short.
        CxrError: the disk is full (code `disk-full`); what was stored stays.
    """
    with disk.writing(run_dir), _named_memory():
        run = Run(run_dir)
        if earlier := publication.find_run(models_dir, run.token):
            # It was registered and cut off before it could say so.
            run.stage(heartbeat.DONE, model_id=earlier)
            return earlier
        listed = folders.listing(Path(config.data))
        run.write_left_out(listed.left_out)
        if listed.left_out:
            logger.warning("%s", folders.in_words(listed.left_out))
        films = folders.with_hashes(listed.films)
        return _train(config, run, films, models_dir, cache_dir)


def measure(config: TrainConfig, folder: Path, cache_dir: Path) -> Speeds:
    """Returns how fast such a run is on this machine, from a short run of every stage.

    A sample of the films goes through every stage once, twice through fine-tuning; the
    model that comes of it is thrown away. Nothing is resumed.

    Args:
        config: of the run that is asked about.
        folder: for the progress.
        cache_dir: where the speeds are kept for `estimate.find_speeds`.

    Raises:
        CxrError: as `train`.
    """
    scanned = folders.with_hashes(folders.scan(Path(config.data)))
    films = _sample(folders.at_home(scanned), config.seed)
    # What it begins with makes no run slower or faster, and may not be had.
    small = replace(
        config,
        backbone_weights=backbone.NONE,
        epochs=2,
        warm_up=1,
        patience=2,
        head_epochs=5,
    )
    with tempfile.TemporaryDirectory(dir=folder) as name, disk.writing(folder):
        scratch = Path(name)
        run = Run(scratch)
        run.heartbeat.folder = folder
        _train(small, run, films, scratch / "models", scratch / "cache")
        [speeds] = estimate.read(scratch / "cache")
        estimate.store(cache_dir, speeds)
    return speeds


def _train(
    config: TrainConfig,
    run: Run,
    films: Sequence[LabelledFilm],
    models_dir: Path,
    cache_dir: Path,
) -> str:
    started, clock = time.time(), Clock()
    keras.utils.set_random_seed(config.seed)
    device = accelerator.find(mixed_precision=config.mixed_precision)
    where = find().words
    resumed = run.has_checkpoint

    run.stage(run_folder.PREPARING, device=where)
    fingerprint = folders.fingerprint(films)
    run.bind(fingerprint, config)
    run.write_config(config)
    start = continuation.keep(run.folder, models_dir, config.backbone_weights)
    known = _known(films, run, start)
    splits = prepare(films, fingerprint, config, run, cache_dir, clock, known.splits)
    origins = places.origins(Path(config.data), {f.place for f in films if f.place})

    with device.policy(), device.scope():
        network = _begun(config, run, models_dir, start)
    has_head = config.architecture == architectures.BASELINE or config.continues
    if not has_head and newest(run.checkpoints) is None:
        run.stage(run_folder.HEAD, patience=LONG_SILENCE)
        train_head(network, splits, config, run, clock)
    run.stage(run_folder.FINE_TUNING, epochs=config.epochs, patience=LONG_SILENCE)
    fine_tune(network, splits, config, run, clock=clock, device=device)

    run.stage(run_folder.PUBLISHING, patience=LONG_SILENCE)
    if device.mixed_precision:
        # Serving computes in 32 bits, and so does the network that is exported.
        network = _build(config, start)
    load_best(network, run.best_weights)
    model_id = publication.publish(
        network,
        config=_for_the_card(config, run, start),
        splits=splits,
        known=known,
        origins=origins,
        fingerprint=fingerprint,
        history=run.history_file,
        seconds=run.seconds_before + time.time() - started,
        models_dir=models_dir,
        clock=clock,
    )
    if not resumed:
        estimate.keep(cache_dir, config, clock, device=where, films=len(films))
    run.stage(heartbeat.DONE, model_id=model_id)
    return model_id


def prepare(
    films: Sequence[LabelledFilm],
    fingerprint: str,
    config: TrainConfig,
    run: Run,
    cache_dir: Path,
    clock: Clock,
    settled: Mapping[str, str] = NOTHING_SETTLED,
) -> dict[str, PreparedSplit]:
    """Returns the patient-grouped splits, every film decoded and reduced once.

    Args:
        films: of the data folder, with their hashes.
        fingerprint: of these films, under which prepared ones are kept.
        config: of the run.
        run: that says how far it is.
        cache_dir: where prepared films are kept.
        clock: that adds up what was timed.
        settled: the split of each patient that is bound to one.

    Raises:
        DatasetError: a split is left without films of home of both classes.
    """
    size = architectures.find(config.architecture).size
    is_there = prepared.is_there(cache_dir, fingerprint, size)
    begun = time.perf_counter()
    stored = prepared.prepare(
        films,
        fingerprint=fingerprint,
        size=size,
        cache_dir=cache_dir,
        progress=lambda done, total: run.beat(done=done, total=total),
    )
    if not is_there:
        clock.add(estimate.DECODE, len(films), time.perf_counter() - begun)
    splits = {}
    dealt = split_by_patient(films, seed=config.split_seed, settled=settled)
    for name, part in dealt.items():
        for film in part:
            if reason := stored.refused.get(film.sha256):
                # Named by its content: a file name can be a patient's.
                logger.warning(
                    "left out of %s: %s (%s)", name, film.sha256[:12], reason
                )
        kept = tuple(film for film in part if film.sha256 in stored.rows)
        labels = np.array([film.label for film in kept], np.float32)
        if len({film.label for film in kept if not film.place}) < 2:
            raise DatasetError(
                f"The {name} split has readable films of one class only."
            )
        splits[name] = PreparedSplit(
            films=kept,
            pixels=stored.pixels,
            rows=np.array([stored.rows[film.sha256] for film in kept]),
            labels=labels,
        )
    return splits


def _known(
    films: Sequence[LabelledFilm], run: Run, start: StartModel | None
) -> Settled:
    if start is None:
        return lineage.settle(films, ())
    logger.info("%s", continuation.words(start.model_id))
    known = lineage.settle(films, continuation.kept_films(run.folder))
    logger.info("%d patients of these films are known to it", len(known.splits))
    return known


def _begun(
    config: TrainConfig, run: Run, models_dir: Path, start: StartModel | None
) -> keras.Model:
    """Returns the network as the run has it: where it starts, or with its best weights.

    The frozen blocks are in the best weights and in no checkpoint, so of a run that has
    them nothing else is needed: neither a connection nor the model it began with.
    """
    has_epoch = newest(run.checkpoints) is not None
    if run.best_weights.is_file() and (has_epoch or not _can_begin(config, models_dir)):
        network = _build(config, start)
        load_best(network, run.best_weights)
        return network
    if start is None:
        return networks.build(
            config.architecture,
            backbone_weights=config.backbone_weights,
            dropout=config.dropout,
        )
    network = _build(config, start)
    continuing.take_over(network, models_dir, start)
    return network


def _can_begin(config: TrainConfig, models_dir: Path) -> bool:
    weights, architecture = config.backbone_weights, config.architecture
    return not (
        backbone.problem(weights, architecture)
        or continuation.problem(models_dir, weights, architecture)
    )


def _build(config: TrainConfig, start: StartModel | None) -> keras.Model:
    """Returns the run's network without weights of its own."""
    from_imagenet = config.backbone_weights == backbone.IMAGENET
    return networks.build(
        config.architecture,
        backbone_weights=backbone.NONE,
        dropout=config.dropout,
        imagenet_scale=start.imagenet_scale if start else from_imagenet,
    )


def _for_the_card(
    config: TrainConfig, run: Run, start: StartModel | None
) -> dict[str, object]:
    of_start: dict[str, object] = {}
    if start:
        of_start = {
            "start_model": start.model_id,
            "start_card_sha256": start.card_sha256,
            "start_made_from": start.made_from,
            "imagenet_scale": start.imagenet_scale,
        }
    return {
        **asdict(config),
        # Where files were on this machine is nothing for the card.
        "data": printable(Path(config.data).name),
        "backbone_weights": printable(Path(config.backbone_weights).name),
        **of_start,
        "run": run.token,
    }


def _sample(films: Sequence[LabelledFilm], seed: int) -> list[LabelledFilm]:
    """Returns whole patients of each class in turn until there are enough films."""
    if len(films) <= MEASURED_FILMS:
        return list(films)
    rng = np.random.default_rng(seed)
    chosen: list[LabelledFilm] = []
    for label in (0, 1):
        ours = [film for film in films if film.label == label]
        patients = sorted({film.patient_id for film in ours})
        rng.shuffle(patients)
        # At least a quarter of each class, so that every split has some.
        share = max(0.25, len(ours) / len(films)) * MEASURED_FILMS
        taken: list[LabelledFilm] = []
        for patient in patients:
            if len(taken) < share:
                taken += [film for film in ours if film.patient_id == patient]
        chosen += taken
    return sorted(chosen, key=lambda film: film.name)


@contextmanager
def _named_memory() -> Iterator[None]:
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise JobError(
            "Memory ran out. Start a new run with a smaller batch whose gradients are "
            "accumulated over several steps, or with a smaller network.",
            code="out-of-memory",
        ) from error
