"""The command line: `python -m cxr COMMAND`.

With `--json` stdout holds JSON and nothing else; logs go to stderr. Exit code 0 means
done, 1 done with refusals or failed checks, 2 wrong use or a named error.
"""

import argparse
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr import __version__, documents, model_commands
from cxr.config import Settings, settings
from cxr.errors import CxrError, DatasetError, ImageError, JobError

DONE, DONE_WITH_REFUSALS, FAILED = 0, 1, 2
_MET = {True: "met", False: "not met"}

logger = logging.getLogger("cxr")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s"
    )
    options = _parser().parse_args(arguments)
    try:
        return options.command(options, settings())
    except CxrError as error:
        sys.stderr.write(f"{error.message} [{error.code}]\n")
        return FAILED


def classify(options: argparse.Namespace, where: Settings) -> int:
    """Scores films and folders; one line each."""
    from cxr import inference, scoring
    from cxr.decoding import DecoderPool

    paths = list(_films_at(options.paths))
    with DecoderPool(where.decoder_workers) as pool:
        pool.start()
        model = inference.load(where.models_dir, options.model, threads=where.threads)
        threshold = model.card.threshold.value
        if options.threshold is not None:
            threshold = options.threshold
        refused = 0
        outcomes = scoring.score(model, pool, scoring.contents(paths))
        for path, outcome in zip(paths, outcomes, strict=True):
            line = _outcome_line(path, outcome, model, threshold)
            refused += line["status"] == "refused"
            _write(line if options.json else _in_words(line))
    return DONE_WITH_REFUSALS if refused else DONE


def evaluate(options: argparse.Namespace, where: Settings) -> int:
    """Scores a labelled folder and prints metrics at the model's own threshold."""
    from cxr import data, inference, registry, validation
    from cxr.decoding import DecoderPool

    model = inference.load(where.models_dir, options.model, threads=where.threads)
    split_of = registry.read_split(where.models_dir, model.card)
    films = validation.choose(data.scan(options.data), options.split, split_of)
    with DecoderPool(where.decoder_workers) as pool:
        found = validation.validate(model, pool, films, split_of)
    if found.seen:
        logger.warning(
            "%d of these films trained, tuned or calibrated the model: the figures "
            "are too good.",
            found.seen,
        )
    if found.refused:
        logger.warning("%d films were refused.", len(found.refused))
    # File names can be patients' names: they are in the answer and never in a log.
    document = asdict(found.evaluation) | {
        "refused": len(found.refused),
        "refusals": found.refused,
        "seen_in_training": found.seen,
        "model_id": model.card.model_id,
        "model_sha256": model.sha256,
    }
    _write(document if options.json else _metrics_in_words(document))
    return DONE_WITH_REFUSALS if found.refused else DONE


def validate(options: argparse.Namespace, where: Settings) -> int:
    """Scores a hospital's labelled folder and says whether the model may serve there.

    Started again on the same folder it goes on where it was stopped.
    """
    from cxr import audit, local_validation, registry

    begun = (options.folder / local_validation.CONFIG).is_file()
    if options.data is not None:
        local_validation.begin(
            options.folder,
            where.models_dir,
            source=options.data,
            model_id=options.model or registry.active_id(where.models_dir),
        )
        if not begun:
            local_validation.record_start(
                where.records_dir, options.folder, actor=audit.operating_system_user()
            )
    elif not begun:
        raise _wrong_use("Say which films to score: --data DIR.")
    report = local_validation.run(
        options.folder,
        where.models_dir,
        workers=where.decoder_workers,
        threads=where.threads,
    )
    _write(asdict(report) if options.json else _report_in_words(report))
    return DONE if report.go and not report.refused else DONE_WITH_REFUSALS


def train(options: argparse.Namespace, where: Settings) -> int:
    """Runs a training, or goes on with one, in this process."""
    _check_train(options)
    # Imported only now: TensorFlow takes seconds, which wrong use must not wait for.
    from cxr import runs, training

    if options.resume:
        run_dir = options.run
        config = runs.read_config(run_dir)
    else:
        config = _new_config(options, where)
        run_dir = options.run or runs.create(where.runs_dir, config)
        if runs.Run(run_dir).has_checkpoint:
            raise CxrError(
                f"{run_dir} holds a run already: go on with --resume, or name another.",
                code="run-exists",
            )
    model_id = training.train(config, run_dir, where.models_dir, where.cache_dir)
    _write({"model_id": model_id} if options.json else f"Registered {model_id}.")
    return DONE


def measure(options: argparse.Namespace, where: Settings) -> int:
    """Measures how fast the run whose settings are in a folder would be here."""
    from cxr import runs

    config = runs.read_config(options.run)
    from cxr import training

    speeds = training.measure(config, options.run, where.cache_dir)
    per_second = {k: round(1 / s, 1) for k, s in speeds.seconds.items() if s}
    document = asdict(speeds) | {"films_per_second": per_second}
    _write(document if options.json else json.dumps(document, indent=2))
    return DONE


def models(options: argparse.Namespace, where: Settings) -> int:
    """Does one thing with the registered models."""
    action = model_commands.ACTIONS[options.action]
    if not action.accepts(options.arguments):
        takes = " ".join(action.takes) or "nothing else"
        takes += " ..." if action.more else ""
        raise _wrong_use(
            f"models {options.action} takes {takes}; received "
            f"{len(options.arguments)} arguments."
        )
    answer, well = action.run(where, *options.arguments)
    _write(answer if options.json else json.dumps(documents.plain(answer), indent=2))
    return DONE if well else DONE_WITH_REFUSALS


def check(options: argparse.Namespace, where: Settings) -> int:
    """Checks a data folder: what it holds, what is wrong, what gives labels away."""
    from cxr import checks

    folder = options.folder or checks.folder_for(where.cache_dir, options.source)
    found = checks.run(
        options.source,
        folder=folder,
        models_dir=where.models_dir,
        workers=where.decoder_workers,
    )
    document = checks.document(found)
    _write(document if options.json else _check_in_words(document))
    serious = any(finding.serious for finding in found.integrity.findings)
    return DONE_WITH_REFUSALS if serious else DONE


def robustness(options: argparse.Namespace, where: Settings) -> int:
    """Puts a model through shifts, markers, strata, style, twins and its heat map.

    The exit code says whether it reaches every bar.
    """
    from cxr import inference, registry
    from cxr.robustness import films, subjects, suite, tables, twins

    parts = _parts_of_suite(options, suite.SUITES)
    model = inference.load(where.models_dir, options.model, threads=where.threads)
    everything = films.load(
        options.data,
        registry.read_split(where.models_dir, model.card),
        size=subjects.SIZE,
        cache_dir=where.cache_dir,
    )
    chosen = films.choose(everything, options.split)
    pairs = None
    if suite.TWINS in parts:
        pairs = twins.load(options.originals, everything, size=subjects.SIZE)
    report = suite.run(
        subjects.subject_of(model),
        chosen.sample(options.films) if options.films else chosen,
        suites=parts,
        everything=everything,
        pairs=pairs,
        all_twins=options.all_twins,
        seed=options.seed,
        progress=lambda part, done, of: logger.info("%s %d of %d", part, done, of),
    )
    _write(asdict(report) if options.json else tables.in_words(report))
    return DONE if report.passed else DONE_WITH_REFUSALS


def download(options: argparse.Namespace, where: Settings) -> int:
    """Fetches the Kaggle data set and says where it is."""
    from cxr import download

    folder = download.fetch(options.to)
    _write({"data": str(folder)} if options.json else f"The films are in {folder}.")
    return DONE


def _check_train(options: argparse.Namespace) -> None:
    given = list(_given(options)) + (["preset"] if options.preset else [])
    if options.resume and given:
        raise _wrong_use(
            "--resume goes on with the run's own settings: leave out "
            f"{', '.join(given)}."
        )
    if options.resume and options.run is None:
        raise _wrong_use("Say which run to go on with: --run RUN_DIR --resume.")
    if options.resume and not (options.run / "config.json").is_file():
        raise JobError(f"{options.run} holds no run that can go on.")
    if not options.resume and options.data is None:
        raise _wrong_use("Say which films to train on: --data DIR.")
    if not options.resume and not options.data.exists():
        raise DatasetError(f"There is no data folder or manifest at {options.data}.")


def _given(options: argparse.Namespace) -> dict[str, Any]:
    settings_of_run = {
        "data": None if options.data is None else str(options.data),
        "architecture": options.architecture,
        "backbone_weights": options.backbone_weights,
        "backbone_note": options.backbone_note,
        "seed": options.seed,
        "epochs": options.epochs,
        "harder_from": options.harder_from,
        "unfreeze_from": options.unfreeze_from,
        "batch_size": options.batch_size,
        "accumulate": options.accumulate,
        "augmentation": options.augmentation,
    }
    return {k: value for k, value in settings_of_run.items() if value is not None}


def _new_config(options: argparse.Namespace, where: Settings) -> Any:
    from cxr import architectures, runs

    given = {"backbone_weights": where.backbone_weights, **_given(options)}
    try:
        config = runs.config_for(options.preset or "standard", **given)
        architectures.find(config.architecture)
    except ValueError as error:
        raise _wrong_use(f"The training can't start: {error}.") from error
    return config


def _parts_of_suite(
    options: argparse.Namespace, known: tuple[str, ...]
) -> tuple[str, ...]:
    if unknown := set(options.suite) - set(known):
        raise _wrong_use(
            f"The suite has no part {', '.join(sorted(unknown))}; it has "
            f"{', '.join(known)}."
        )
    if "twins" in options.suite and options.originals is None:
        raise _wrong_use("Say where the films in original size are: --originals DIR.")
    wanted = options.suite or known
    return tuple(p for p in wanted if p != "twins" or options.originals is not None)


def _wrong_use(message: str) -> CxrError:
    return CxrError(message, code="usage")


def _films_at(paths: Sequence[Path]) -> Iterator[Path]:
    from cxr.data import SUFFIXES

    for path in paths:
        if path.is_file():
            yield path
            continue
        if not path.is_dir():
            raise DatasetError(f"There is no file or folder {path}.")
        films = [p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES]
        films = sorted(film for film in films if film.is_file())
        if not films:
            raise DatasetError(
                f"The folder {path} holds no films (files ending in "
                f"{', '.join(SUFFIXES)})."
            )
        yield from films


def _outcome_line(
    path: Path, outcome: Any, model: Any, threshold: float
) -> dict[str, Any]:
    result = outcome.result
    refused = isinstance(result, ImageError)
    return {
        "file": str(path),
        "status": "refused" if refused else "scored",
        "code": result.code if refused else None,
        "reason": result.message if refused else None,
        "probability": None if refused else result.probability,
        "decision": None if refused else model.decide(result.probability, threshold),
        "threshold": threshold,
        "model_id": model.card.model_id,
        "model_sha256": model.sha256,
        "warnings": list(outcome.warnings),
        "seconds": round(outcome.seconds, 4),
    }


def _in_words(line: dict[str, Any]) -> str:
    if line["status"] == "refused":
        return f"{line['file']}: refused, {line['reason']}"
    notes = "".join(f" {warning}" for warning in line["warnings"])
    return (
        f"{line['file']}: {line['decision']}, probability {line['probability']:.3f}, "
        f"threshold {line['threshold']:.3f}.{notes}"
    )


def _report_in_words(report: Any) -> str:
    lines = [
        f"{report.films} films, {len(report.refused)} refused; model {report.model_id}",
        *(
            f"{_MET[bar.passed]:8} {bar.sentence} {_it_is(bar.value)}"
            for bar in report.bars
        ),
        "go" if report.go else "no-go",
    ]
    return "\n".join(lines)


def _it_is(value: float) -> str:
    return "It is not defined." if math.isnan(value) else f"It is {value:.4g}."


def _metrics_in_words(document: dict[str, Any]) -> str:
    lines = [
        f"{document['n']} films, {document['n_positive']} with pneumonia, "
        f"{document['refused']} refused; model {document['model_id']}, "
        f"threshold {document['threshold']:.4f}"
    ]
    for name, item in document.items():
        if isinstance(item, dict) and set(item) == {"value", "low", "high"}:
            spread = f"({item['low']:.4f} to {item['high']:.4f})"
            lines.append(f"{name:28} {item['value']:.4f}  {spread}")
    lines.append(f"confusion {document['confusion']}")
    refusals = document["refusals"].items()
    return "\n".join([*lines, *(f"refused: {name}, {why}" for name, why in refusals)])


def _check_in_words(document: dict[str, Any]) -> str:
    lines = [
        f"{document['films']} films of {document['patients']} patients, "
        f"{document['unreadable']} unreadable",
        f"fingerprint {document['fingerprint']}",
    ]
    for group in document["groups"]:
        subtypes = "".join(f", {n} {name}" for name, n in group["subtypes"].items())
        lines.append(
            f"{group['split']}, {('normal', 'pneumonia')[group['label']]}: "
            f"{group['films']} films of {group['patients']} patients{subtypes}"
        )
    lines += [f"{kind:28} {n}" for kind, n in document["counts"].items()]
    lines += [
        f"{finding['kind']}: {finding['sentence']} "
        f"[{', '.join(map(_printable, finding['films']))}] {finding['suggestion']}"
        for finding in document["findings"]
    ]
    lines += [
        f"training would take for {name} {part['films']} films of {part['patients']} "
        f"patients, {part['positives']} with pneumonia"
        for name, part in document["splits"].items()
    ]
    if document["no_splits"]:
        lines.append(f"training can't split these films: {document['no_splits']}")
    return "\n".join([*lines, *_audit_in_words(document["audit"])])


def _audit_in_words(audit: dict[str, Any]) -> Iterator[str]:
    yield f"AUC of the label from plain figures alone, {audit['n']} films"
    estimates = audit["features"] | {"all of these": audit["combined"]}
    if audit["network"]:
        n = audit["network_n"]
        estimates[f"all of these, {n} films"] = audit["combined_there"]
        estimates[f"{audit['network_id']}, the same {n} films"] = audit["network"]
    for name, item in estimates.items():
        spread = f"({item['low']:.4f} to {item['high']:.4f})"
        known = math.isfinite(item["value"])
        yield f"{name:40} {item['value']:.4f}  {spread}" if known else f"{name:40} -"


def _printable(name: str) -> str:
    """Returns a file name without what would move the cursor or can't be printed."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in name
    )


def _write(answer: Any) -> None:
    text = answer if isinstance(answer, str) else json.dumps(documents.plain(answer))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _probability(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("expected a number between 0 and 1")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected a whole number from 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cxr",
        description="Decision support for pneumonia on chest X-rays. Research and "
        "education only, never a diagnosis.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("classify", help="score films and folders of films")
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    command.add_argument("--model", metavar="ID", help="instead of the active model")
    command.add_argument("--threshold", type=_probability, metavar="T")
    command.set_defaults(command=classify)

    command = commands.add_parser("evaluate", help="measure a model on labelled films")
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--split",
        metavar="NAME",
        help="a split of the folder (train, val, test), or held-out: the films of the "
        "patients on whom the model was tested and nothing was chosen",
    )
    command.add_argument("--model", metavar="ID", help="instead of the active model")
    command.set_defaults(command=evaluate)

    command = commands.add_parser(
        "validate", help="score a hospital's labelled films: go or no-go"
    )
    command.add_argument(
        "--folder",
        type=Path,
        required=True,
        metavar="F",
        help="for scores and report; on the same one a stopped validation goes on",
    )
    command.add_argument("--data", type=Path, metavar="DIR")
    command.add_argument("--model", metavar="ID", help="instead of the active model")
    command.set_defaults(command=validate)

    command = commands.add_parser("train", help="train a model and register it")
    command.add_argument("--data", type=Path, metavar="DIR")
    command.add_argument("--architecture", metavar="NAME")
    command.add_argument(
        "--preset", metavar="NAME", help="quick, standard (the default) or best"
    )
    command.add_argument(
        "--backbone-weights", metavar="SOURCE", help="imagenet, none, or a file"
    )
    command.add_argument(
        "--backbone-note", metavar="TEXT", help="where such a file comes from"
    )
    command.add_argument("--seed", type=int)
    command.add_argument("--epochs", type=_whole, help="at most")
    command.add_argument(
        "--harder-from",
        type=int,
        metavar="EPOCH",
        help="harder films and a new start of the rate from then on; 0 for never",
    )
    command.add_argument("--unfreeze-from", type=_whole, metavar="BLOCK", help="2 to 7")
    command.add_argument("--batch-size", type=_whole, metavar="N")
    command.add_argument(
        "--accumulate", type=_whole, metavar="N", help="steps added up to one"
    )
    command.add_argument("--augmentation", choices=("style", "plain"))
    command.add_argument("--run", type=Path, metavar="RUN_DIR")
    command.add_argument("--resume", action="store_true", help="go on with RUN_DIR")
    command.set_defaults(command=train)

    command = commands.add_parser(
        "measure", help="measure how fast a training would be on this machine"
    )
    command.add_argument(
        "--run", type=Path, required=True, metavar="DIR", help="holds its config.json"
    )
    command.set_defaults(command=measure)

    command = commands.add_parser("check", help="look through a data folder")
    command.add_argument("source", type=Path, metavar="DIR", help="or a CSV manifest")
    command.add_argument(
        "--folder", type=Path, help="where the result is kept, instead of the cache"
    )
    command.set_defaults(command=check)

    command = commands.add_parser(
        "robustness", help="put a model through shifts of acquisition, markers, style"
    )
    command.add_argument("--data", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--split", metavar="NAME", help="as for evaluate; held-out is the usual choice"
    )
    command.add_argument("--model", metavar="ID", help="instead of the active model")
    command.add_argument(
        "--suite",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="PARTS",
        help="some of shifts,markers,strata,style,twins,heatmap; all by default, twins "
        "only with --originals",
    )
    command.add_argument(
        "--originals",
        type=Path,
        metavar="DIR",
        help="films of the data folder in their original size, by the same names",
    )
    command.add_argument(
        "--all-twins", action="store_true", help="those of training patients too"
    )
    command.add_argument(
        "--films", type=_whole, metavar="N", help="at most, chosen by their hashes"
    )
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(command=robustness)

    command = commands.add_parser("download", help="fetch the Kaggle data set")
    command.add_argument(
        "--to", type=Path, metavar="DIR", help="instead of kagglehub's own cache"
    )
    command.set_defaults(command=download)

    command = commands.add_parser("models", help="the registered models")
    command.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=tuple(model_commands.ACTIONS),
    )
    command.add_argument("arguments", nargs="*", metavar="ID or FILE")
    command.set_defaults(command=models)
    for subparser in commands.choices.values():
        subparser.add_argument("--json", action="store_true", help="for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
