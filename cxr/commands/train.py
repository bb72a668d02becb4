"""`python -m cxr train`, `measure`, `train-lungs`: the side that needs TensorFlow."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, background_option, json_option, write
from cxr.config import settings
from cxr.errors import DatasetError
from cxr.records import actors
from cxr.records.audit import operating_system_user

# What decides a run, each instead of what the preset says.
_CHANGES: tuple[Callable[[Any], Any], ...] = (
    click.option("--architecture", metavar="NAME"),
    click.option(
        "--backbone-weights",
        metavar="SOURCE",
        help="imagenet, none, a file, or model:ID to go on from a registered model.",
    ),
    click.option(
        "--backbone-note", metavar="TEXT", help="Where such a file comes from."
    ),
    click.option("--seed", type=int),
    click.option("--epochs", type=click.IntRange(1), help="At most."),
    click.option(
        "--harder-from",
        type=int,
        metavar="EPOCH",
        help="Harder films and a new start of the rate from then on; 0 for never.",
    ),
    click.option(
        "--unfreeze-from",
        type=click.IntRange(1),
        metavar="BLOCK",
        help="2 to 7; 1 for everything, batch normalisation too.",
    ),
    click.option(
        "--consistency",
        type=click.FloatRange(0),
        metavar="WEIGHT",
        help="Pulls two draws of each film together; 0 for one draw.",
    ),
    click.option("--batch-size", type=click.IntRange(1), metavar="N"),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        metavar="N",
        help="Steps added up to one.",
    ),
    click.option("--augmentation", type=click.Choice(["style", "plain"])),
)


def _with_changes(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_CHANGES):
        command = option(command)
    return command


@click.command()
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--preset", metavar="NAME", help="quick, standard (the default) or best.")
@_with_changes
@click.option("--run", "run_dir", type=click.Path(path_type=Path), metavar="RUN_DIR")
@click.option("--resume", is_flag=True, help="Go on with RUN_DIR.")
@background_option
@json_option
def train(
    data: Path | None,
    preset: str | None,
    run_dir: Path | None,
    resume: bool,
    background: bool,
    as_json: bool,
    **changes: Any,
) -> int:
    """Train a model and register it as a candidate."""
    given = {name: value for name, value in changes.items() if value is not None}
    if background:
        from cxr.runs import start

        if run_dir or resume:
            raise answers.wrong_use("--background makes a new run: leave out --run.")
        config = _new_config(data, preset, given)
        started = start.start(config, actor=operating_system_user())
        answers.write_started(started, as_json=as_json)
        return DONE
    if resume:
        named = [*(["data"] if data else []), *given, *(["preset"] if preset else [])]
        config, folder = _resumed(run_dir, named)
    else:
        config, folder = _new(data, preset, run_dir, given)
    # Imported only now: TensorFlow takes seconds, which wrong use must not wait for.
    from cxr.training import train as training

    where = settings()
    model_id = training.train(config, folder, where.models_dir, where.cache_dir)
    if as_json:
        from cxr.runs import run_folder

        left_out = [asdict(part) for part in run_folder.read_left_out(folder)]
        write({"model_id": model_id, "left_out": left_out})
    else:
        write(f"Registered {model_id}.")
    return DONE


@click.command()
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Holds its config.json.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Instead of --run: measure in the background, as the app does.",
)
@click.option("--preset", metavar="NAME", help="quick, standard (the default) or best.")
@_with_changes
@json_option
def measure(
    folder: Path | None,
    data: Path | None,
    preset: str | None,
    as_json: bool,
    **changes: Any,
) -> int:
    """Measure how fast a training would be on this machine."""
    from cxr.runs import run_folder, start

    if (folder is None) == (data is None):
        raise answers.wrong_use("Say which run to measure: --run DIR or --data DIR.")
    given = {name: value for name, value in changes.items() if value is not None}
    if folder and (given or preset):
        raise answers.wrong_use("The run in a folder has settings of its own.")
    if folder is None:
        config = _new_config(data, preset, given)
        started = start.measure(config, actor=operating_system_user())
        answers.write_started(started, as_json=as_json)
        return DONE
    start.require_measurable(folder, actor=operating_system_user())
    config = run_folder.read_config(folder)
    from cxr.training import train as training

    speeds = training.measure(config, folder, settings().cache_dir)
    per_second = {k: round(1 / s, 1) for k, s in speeds.seconds.items() if s}
    document = asdict(speeds) | {"films_per_second": per_second}
    write(document if as_json else json.dumps(document, indent=2))
    return DONE


@click.command("train-lungs")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option(
    "--masks",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    metavar="DIR",
    help="PNG files named as the films; bright is lung.",
)
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    required=True,
    metavar="RUN_DIR",
    help="Keeps its state; on the same one a stopped training goes on.",
)
@click.option(
    "--elsewhere",
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|CSV",
    help="Upright frontal films of other patients, for the gate.",
)
@click.option("--epochs", type=click.IntRange(3), default=32, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@json_option
def train_lungs(
    data: Path,
    masks: Path,
    run_dir: Path,
    elsewhere: Path | None,
    epochs: int,
    seed: int,
    as_json: bool,
) -> int:
    """Train the network that outlines the lungs, and its gate, and install them."""
    where, actor = settings(), operating_system_user()
    # Said now and not after hours of training.
    actors.require(where.records_dir, actor, actors.INSTALL_LUNGS)
    from cxr.governance import trust
    from cxr.training import lungs

    card = lungs.train(
        data,
        masks,
        run_dir,
        where.models_dir,
        elsewhere=elsewhere,
        epochs=epochs,
        seed=seed,
    )
    trust.record_lungs(where.models_dir, where.records_dir, actor=actor)
    test = card.dice["test"]
    words = f"Installed; Dice {test.value:.3f} ({test.low:.3f} to {test.high:.3f})."
    write(asdict(card) if as_json else words)
    return DONE


def _resumed(run_dir: Path | None, named: list[str]) -> tuple[Any, Path]:
    from cxr.runs import run_folder, start

    if named:
        raise answers.wrong_use(
            "--resume goes on with the run's own settings: leave out "
            f"{', '.join(named)}."
        )
    if run_dir is None:
        raise answers.wrong_use("Say which run to go on with: --run RUN_DIR --resume.")
    start.require_resumable(run_dir, actor=operating_system_user())
    return run_folder.read_config(run_dir), run_dir


def _new(
    data: Path | None, preset: str | None, run_dir: Path | None, given: dict[str, Any]
) -> tuple[Any, Path]:
    from cxr.runs import start

    config = _new_config(data, preset, given, absolute=False)
    return config, start.begin(config, run_dir, actor=operating_system_user())


def _new_config(
    data: Path | None,
    preset: str | None,
    given: dict[str, Any],
    *,
    absolute: bool = True,
) -> Any:
    if data is None:
        raise answers.wrong_use("Say which films to train on: --data DIR.")
    if not data.exists():
        raise DatasetError(f"There is no data folder or manifest at {data}.")
    source = data.resolve() if absolute else data
    return _config(preset or "standard", {**given, "data": str(source)})


def _config(preset: str, changes: dict[str, Any]) -> Any:
    from cxr.models import registry
    from cxr.runs import architectures, backbone, continuation
    from cxr.runs.config import config_for

    given = {"backbone_weights": settings().backbone_weights, **changes}
    weights = given["backbone_weights"]
    if weights.startswith(backbone.MODEL):
        models_dir, model_id = settings().models_dir, backbone.model_of(weights)
        card = registry.read_card(models_dir, model_id)
        given = {"architecture": card.architecture, **given}
        click.echo(continuation.words(model_id), err=True)
    elif weights not in (backbone.IMAGENET, backbone.NONE) and weights:
        given["backbone_weights"] = str(Path(weights).absolute())
    try:
        config = config_for(preset, **given)
        architectures.find(config.architecture)
    except ValueError as error:
        raise answers.wrong_use(f"The training can't start: {error}.") from error
    return config
