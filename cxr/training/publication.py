"""From a trained network to a registered model.

Exports the network for serving, calibrates, chooses the threshold and the uncertain
band, evaluates, and checks that serving gives the trained network's scores. Every score
on the card is the serving network's. Films of home alone decide; those of other places
are scored beside them (`elsewhere`). The model appears in the registry in one step,
whole, as a candidate.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np

from cxr import disk, documents
from cxr.datasets.folders import Origin
from cxr.datasets.lineage import Settled
from cxr.datasets.splits import SPLITS
from cxr.evaluation.band import Shifted
from cxr.evaluation.calibration import CalibrationChoice, choose_calibration
from cxr.films import tones
from cxr.films.tones import StandardTone
from cxr.models import cards, registry, scores
from cxr.models.network import Network
from cxr.models.subtypes import SubtypeRecord, fit, of_films
from cxr.robustness import operating
from cxr.robustness.films import film_set
from cxr.runs import architectures
from cxr.runs.estimate import SCORE, Clock
from cxr.training import elsewhere, export
from cxr.training.batches import PreparedSplit
from cxr.training.card import Films, ScoredSplit, written_card

SHORT_NAMES = {architectures.BASELINE: "baseline"}
HELD_OUT = ("validation", "calibration", "test")
CHUNK = 256  # films that are held as network inputs at a time
NO_EARLIER = Settled(splits={}, films=())
NOTHING_STATED: Mapping[str, Origin] = MappingProxyType({})
TONE_FILMS = 200  # of each class, whose mean is the standard tone


def publish(
    network: keras.Model,
    *,
    config: dict[str, object],
    splits: dict[str, PreparedSplit],
    fingerprint: str,
    history: Path,
    seconds: float,
    models_dir: Path,
    clock: Clock | None = None,
    known: Settled = NO_EARLIER,
    origins: Mapping[str, Origin] = NOTHING_STATED,
) -> str:
    """Registers a trained network as a candidate and returns its model id.

    Args:
        network: with the outputs of `networks.build`.
        config: the run's settings, for the card.
        splits: the films of train, validation, calibration and test.
        fingerprint: of all the data.
        history: the run's learning curves.
        seconds: that the run took.
        models_dir: the registry.
        clock: that times the scoring, None for none.
        known: the films behind the model that the run goes on from; those that are not
            among its own are kept in the table of films too.
        origins: what is known of each other place of the films.

    Raises:
        ModelError: the serving network gives other scores than the trained one.
        CxrError: the disk is full (code `disk-full`); nothing is registered.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    registry.sweep(models_dir)
    home = elsewhere.at_home(splits)
    films = {name: split.films for name, split in home.items()}
    with disk.writing(models_dir), disk.draft_folder(models_dir) as draft:
        tone = _standard_tone(home["train"], config)
        served = export.export(network, draft, tone)
        scored = _score_all(served, home, clock or Clock())
        away = _score_others(served, splits, clock or Clock())
        chosen = _calibration(scored["calibration"])
        parity = export.check_parity(
            network, served, home["validation"], chosen.scaling
        )
        export.write_golden(draft, served, chosen.scaling)
        tables = {k: scored[k].as_scores(chosen.scaling) for k in HELD_OUT}
        scores.write(draft, tables)
        elsewhere.write(draft, away, chosen.scaling)
        everything = {name: split.films for name, split in splits.items()}
        scores.write_split(draft, _rows(everything, known))
        shutil.copyfile(history, draft / cards.HISTORY)
        second_opinion = _write_subtypes(draft, scored)
        card = written_card(
            network.name,
            scored,
            chosen,
            model_id=registry.new_id(models_dir, _short(network.name)),
            films=films,
            fingerprint=fingerprint,
            training={**config, "seconds": round(seconds)},
            tone=tone,
            shifted=_shifted(served, home["validation"], config),
            parity=parity,
            subtypes=second_opinion,
            files=registry.file_records(draft),
        )
        card = elsewhere.onto_card(card, splits, away, origins)
        documents.replace(draft / cards.CARD, asdict(card))
        draft.rename(models_dir / card.model_id)
    return card.model_id


def find_run(models_dir: Path, token: str) -> str | None:
    """Returns the model that the run with this token has registered, if it has."""
    for card in registry.cards(models_dir):
        if card.training.get("run") == token:
            return card.model_id
    return None


def _score_all(
    served: Network, splits: dict[str, PreparedSplit], clock: Clock
) -> dict[str, ScoredSplit]:
    # Of the training films only those of a known subtype are needed, for the second
    # opinion.
    train = splits["train"]
    known = np.array([i for i, film in enumerate(train.films) if film.subtype], int)
    wanted = {**splits, "train": train.part(known)}
    with clock.time(SCORE, sum(len(part.films) for part in wanted.values())):
        return {name: _score(served, part) for name, part in wanted.items()}


def _score_others(
    served: Network, splits: dict[str, PreparedSplit], clock: Clock
) -> dict[str, ScoredSplit]:
    """Returns the held-out films of other places, by split; none without any."""
    away = elsewhere.away({name: splits[name] for name in HELD_OUT})
    with clock.time(SCORE, sum(len(part.films) for part in away.values())):
        return {name: _score(served, part) for name, part in away.items()}


def _score(served: Network, split: PreparedSplit) -> ScoredSplit:
    logits, peaks, pooled = [], [], []
    for start in range(0, len(split.films), CHUNK):
        part = split.pixels[split.rows[start : start + CHUNK]]
        outputs = served(export.network_inputs(served, part))
        logits.append(outputs.logits.astype(np.float64))
        peaks.append(outputs.activation_maps.max(axis=(1, 2)).astype(np.float64))
        pooled.append(outputs.pooled)
    return ScoredSplit(
        films=split.films,
        labels=np.array([film.label for film in split.films], np.int64),
        logits=np.concatenate(logits) if logits else np.empty(0),
        peaks=np.concatenate(peaks) if peaks else np.empty(0),
        pooled=np.concatenate(pooled) if pooled else np.empty((0, 0), np.float32),
    )


def _shifted(
    served: Network, split: PreparedSplit, config: Mapping[str, object]
) -> Shifted | None:
    """Returns the logits of shifted films if threshold and band ask for them."""
    if not config.get("target_under_shift"):
        return None
    return operating.shifted_logits(
        lambda pixels: served(export.network_inputs(served, pixels)).logits.astype(
            np.float64
        ),
        film_set(split.films, split.own_pixels()),
    )


def _calibration(split: ScoredSplit) -> CalibrationChoice:
    return choose_calibration(split.labels, split.logits, groups=split.patients)


def _standard_tone(
    split: PreparedSplit, config: Mapping[str, object]
) -> StandardTone | None:
    """Returns the mean tone of as many training films of either class."""
    share = float(str(config.get("standard_tone", 0)))
    if not share:
        return None
    hashes = np.array([film.sha256 for film in split.films])
    chosen = []
    for label in (0, 1):
        ours = np.flatnonzero(split.labels == label)
        chosen += ours[np.argsort(hashes[ours])][:TONE_FILMS].tolist()
    return tones.standard((split.film(i) for i in chosen), share)


def _rows(films: Films, known: Settled) -> Iterator[tuple[str, str, str, str]]:
    # The model's own come last: of two films with one name theirs counts.
    own = [(film, name) for name, part in films.items() for film in part]
    for earlier in known.elsewhere(film for film, _ in own):
        yield earlier.name, earlier.sha256, earlier.split, earlier.patient_id
    for film, name in own:
        yield film.name, film.sha256, name, film.given_patient


def _write_subtypes(
    folder: Path, scored: dict[str, ScoredSplit]
) -> SubtypeRecord | None:
    films = {
        name: of_films(
            split.pooled,
            split.labels,
            [film.subtype for film in split.films],
            [film.patient_id for film in split.films],
        )
        for name, split in scored.items()
        if len(split.films)
    }
    if set(films) != set(SPLITS) or (fitted := fit(**films)) is None:
        return None
    head, record = fitted
    (folder / cards.SUBTYPES).write_bytes(head.to_bytes())
    return record


def _short(architecture: str) -> str:
    return SHORT_NAMES.get(architecture, architecture.removeprefix("efficientnet-"))
