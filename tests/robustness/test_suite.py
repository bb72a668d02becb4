"""The suite's parts on small made-up films and scorers whose answers are known."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr import documents
from cxr.__main__ import main
from cxr.errors import DatasetError
from cxr.evaluation.calibration import PlattScaling
from cxr.models import inference, registry
from cxr.robustness import (
    films,
    heatmaps,
    markers,
    measures,
    strata,
    style,
    subjects,
    suite,
    tables,
    twins,
)
from cxr.robustness.subjects import Subject

UNSCALED = PlattScaling(slope=1.0, intercept=0.0, prevalence=0.5).apply
SIZE = 56


def some_films(n: int = 24, size: int = SIZE) -> films.FilmSet:
    """Half of them normal, two of each patient; pneumonia films have an opacity."""
    labels = np.arange(n) % 2
    pixels = np.stack(
        [chest_phantom(size, size, seed=i, opacity=0.9 * (i % 2)) for i in range(n)]
    ).astype(np.uint8)
    return films.of_arrays(
        pixels,
        labels,
        np.arange(n) // 2 // 2 * 2 + labels,
        file_bytes=1000 + 10 * np.arange(n),
    )


def opacity_scorer(pixels: np.ndarray) -> np.ndarray:
    """Rises with the brightness of the right lung, where the phantom's opacity is."""
    size = pixels.shape[1]
    lung = pixels[:, size // 2 : size * 3 // 4, size // 5 : size * 2 // 5]
    return (lung.mean(axis=(1, 2), dtype=np.float64) - 55) / 2


def opacity_maps(pixels: np.ndarray) -> np.ndarray:
    maps = np.zeros((len(pixels), 7, 7), np.float32)
    maps[:, 3:6, 1:3] = 5
    return maps


SUBJECT = Subject(
    probability=UNSCALED,
    name="opacity",
    threshold=0.5,
    logits=opacity_scorer,
    activation_maps=opacity_maps,
    heatmap_scale=5.0,
    size=SIZE,
)
DEAF = Subject(
    name="deaf",
    threshold=0.5,
    probability=UNSCALED,
    logits=lambda pixels: np.zeros(len(pixels)),
)


def test_films_keep_their_order_and_can_be_chosen():
    whole = some_films()
    part = whole.at(whole.labels == 1)
    assert len(part) == 12
    assert part.sha256 == whole.sha256[1::2]
    np.testing.assert_array_equal(part.pixels, whole.pixels[1::2])


def test_a_sample_depends_on_the_hashes_and_not_on_the_order():
    whole = some_films()
    turned = whole.at(np.arange(len(whole))[::-1])
    assert set(whole.sample(5).sha256) == set(turned.sample(5).sha256)
    assert len(whole.sample(99)) == len(whole)


def test_films_are_loaded_once_each_with_the_models_own_split(tmp_path):
    for name, content in (
        ("NORMAL/a.png", as_png(chest_phantom(160, 180, 1))),
        ("NORMAL/copy-of-a.png", as_png(chest_phantom(160, 180, 1))),
        ("PNEUMONIA/b.png", as_png(chest_phantom(160, 180, 2))),
        ("PNEUMONIA/broken.png", b"no film"),
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = films.load(tmp_path / "data", {}, size=32, cache_dir=tmp_path / "cache")
    assert found.labels.tolist() == [0, 1]
    assert found.pixels.shape == (2, 32, 32)
    assert found.splits == ("", "")
    assert found.file_bytes[1] == (tmp_path / "data/PNEUMONIA/b.png").stat().st_size
    split = {found.sha256[1]: "test"}
    again = films.load(tmp_path / "data", split, size=32, cache_dir=tmp_path / "cache")
    assert films.choose(again, "held-out").names == ("PNEUMONIA/b.png",)
    assert films.choose(again, None).names == again.names
    with pytest.raises(DatasetError, match="no films of the split"):
        films.choose(again, "val")


def test_figures_agree_with_counting():
    labels = np.array([0, 0, 0, 1, 1])
    scores = np.array([0.1, 0.6, 0.2, 0.4, 0.9])
    found = measures.figures(labels, scores, np.arange(5), 0.5)
    assert found.auc.value == pytest.approx(5 / 6)
    assert found.sensitivity.value == pytest.approx(1 / 2)
    assert found.specificity.value == pytest.approx(2 / 3)
    assert (found.n, found.n_positive) == (5, 2)


def test_figures_of_no_film_are_undefined():
    empty = measures.figures(
        np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), 0.5
    )
    assert empty.n == 0
    assert np.isnan(empty.auc.value)


def test_a_change_is_counted_film_by_film():
    before, after = np.array([0.2, 0.4, 0.9]), np.array([0.3, 0.6, 0.9])
    found = measures.change(before, after, np.arange(3), 0.5)
    assert found.mean.value == pytest.approx(0.1)
    assert (found.n_flipped, found.flipped.value) == (1, pytest.approx(1 / 3))


def test_the_interval_of_a_mean_knows_the_patients():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(20), 10)
    values = np.repeat(rng.normal(size=20), 10)
    alone = measures.mean_estimate(values, np.arange(200))
    together = measures.mean_estimate(values, patients)
    assert together.value == alone.value == pytest.approx(values.mean())
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_markers_move_a_scorer_that_reads_the_border_and_no_other():
    some = some_films(12, 224)
    reads_border = Subject(
        probability=UNSCALED,
        name="border",
        threshold=0.5,
        logits=lambda p: (p[:, :60].max(axis=(1, 2)) > 205) * 8.0 - 4,
    )
    assert markers.measure(DEAF, some).passed
    report = markers.measure(reads_border, some)
    assert not report.passed
    added = report.results[0]
    assert (added.name, added.n) == ("added", 12)
    assert added.change.flipped.value > 0.5


def test_a_stratum_agrees_with_a_naive_computation():
    some = some_films(60)
    noisy = replace(
        SUBJECT,
        logits=lambda p: opacity_scorer(p) + 8 * np.sin(p.sum(axis=(1, 2)) % 997),
    )
    report = strata.measure(noisy, some)
    assert len(report.strata) == 15
    scores = noisy.probabilities(some.pixels)
    first = report.strata[0]
    rows = np.argsort(some.file_bytes)[:12]
    won = [
        (p > n) + (p == n) / 2
        for p in scores[rows][some.labels[rows] == 1]
        for n in scores[rows][some.labels[rows] == 0]
    ]
    assert first.figure == "file size"
    assert (first.low, first.high) == (1000, 1110)
    assert first.figures.auc.value == pytest.approx(np.mean(won))
    assert not first.counted


def test_a_stratum_with_enough_films_of_both_classes_is_held_to_the_bar(monkeypatch):
    monkeypatch.setattr(strata, "FEWEST", 4)
    some = some_films(60)
    report = strata.measure(DEAF, some)
    assert not report.passed
    assert any(stratum.counted and not stratum.passed for stratum in report.strata)
    assert strata.measure(SUBJECT, some).passed


def test_equal_values_stay_in_one_stratum():
    rows = strata.fifths(np.array([1.0, 1, 1, 1, 1, 1, 2, 3, 4, 5]))
    assert rows[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert sum(map(len, rows)) == 10


def styled_films() -> tuple[films.FilmSet, np.ndarray]:
    """Films without disease; those of class 1 are darker, but for one in five."""
    labels = np.arange(120) % 2
    odd = np.arange(120) // 2 % 5 == 0
    dark = (labels == 1) ^ odd
    pixels = np.stack([chest_phantom(SIZE, SIZE, seed=i) for i in range(120)])
    pixels = np.where(dark[:, None, None], pixels * 0.6, pixels).astype(np.uint8)
    return films.of_arrays(pixels, labels, np.arange(120)), odd


def test_a_network_that_lives_from_style_fails_where_style_is_wrong():
    some, odd = styled_films()
    by_grey = Subject(
        probability=UNSCALED,
        name="grey",
        threshold=0.5,
        logits=lambda p: 60 - p.mean(axis=(1, 2)),
    )
    report = style.measure(by_grey, some)
    assert abs(report.conflicting.n - odd.sum()) <= 6
    assert report.conflicting.auc.value < 0.4
    assert report.agreeing.auc.value > 0.9
    assert sum(group.n_all for group in report.groups) == 120
    assert len(report.groups) == style.GROUPS


def test_style_is_judged_on_films_that_the_network_has_not_learnt_from():
    some, _ = styled_films()
    splits = tuple("train" if i < 80 else "test" for i in range(120))
    report = style.measure(DEAF, replace(some, splits=splits))
    assert report.n_fitted == 120
    assert report.judged.n == 40
    with pytest.raises(DatasetError, match="learnt from every film"):
        style.measure(DEAF, replace(some, splits=("train",) * 120))


def test_twins_of_patients_in_training_are_left_out_and_counted(tmp_path):
    for label, name in enumerate(("NORMAL", "PNEUMONIA")):
        (tmp_path / name).mkdir()
        for i in range(3):
            film = chest_phantom(200, 160, seed=i, opacity=0.9 * label)
            (tmp_path / name / f"{i}.png").write_bytes(as_png(film))
    some = films.load(tmp_path, {}, size=SIZE, cache_dir=tmp_path / "cache")
    pairs = twins.load(tmp_path, some, size=SIZE)
    pairs = replace(
        pairs, copies=replace(pairs.copies, splits=("train",) * 2 + ("test",) * 4)
    )
    report = twins.measure(SUBJECT, pairs)
    assert (report.n_pairs, report.n_trained, report.n) == (6, 2, 4)
    assert report.gap is not None
    assert report.gap.mean.value == 0
    assert report.passed
    assert twins.measure(SUBJECT, pairs, with_trained=True).n == 6
    all_trained = replace(pairs, copies=replace(pairs.copies, splits=("train",) * 6))
    assert twins.measure(SUBJECT, all_trained).passed is None


def test_originals_without_namesakes_are_a_named_error(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL/x.png").write_bytes(as_png(chest_phantom(160, 160)))
    with pytest.raises(DatasetError, match="namesake"):
        twins.load(tmp_path, some_films(), size=SIZE)


def test_curves_follow_a_scorer_that_looks_at_one_cell():
    film = np.full((SIZE, SIZE), 200, np.uint8)
    cell = (slice(20, 24), slice(20, 24))  # the 75th cell of 4 pixels
    subject = Subject(
        probability=UNSCALED,
        name="cell",
        threshold=0.5,
        logits=lambda p: np.where(p[:, *cell].mean(axis=(1, 2)) > 100, 30.0, -30.0),
    )
    number = 5 * heatmaps.GRID + 5
    others = [i for i in range(heatmaps.GRID**2) if i != number]
    steps = heatmaps.GRID**2
    black = np.zeros_like(film)
    first = np.array([number, *others])
    falling, rising = heatmaps.curves(subject, film, black, first, steps=steps)
    assert falling[0] == pytest.approx(1)
    assert heatmaps.area(falling) < 0.05
    assert heatmaps.area(rising) > 0.95
    last = np.array([*others, number])
    falling, rising = heatmaps.curves(subject, film, black, last, steps=steps)
    assert heatmaps.area(falling) > 0.9
    assert heatmaps.area(rising) < 0.1


def test_a_card_gets_the_deletion_against_both_other_rankings():
    report = heatmaps.measure(SUBJECT, some_films())
    found = heatmaps.worth(report, "test")
    assert (found.films, found.split) == (report.n, "test")
    by_name = {item.over: item.deletion for item in report.advantages}
    assert found.over_random == by_name[heatmaps.RANDOM]
    assert found.over_centre == by_name[heatmaps.CENTRE]


def test_the_area_is_that_of_trapezoids():
    assert heatmaps.area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert heatmaps.area(np.array([1.0, 1.0, 0.0])) == pytest.approx(0.75)


def test_the_hottest_cell_comes_first_and_the_centre_in_its_own_order():
    heat = np.zeros((7, 7), np.float32)
    heat[1, 5] = 3
    row, column = divmod(int(heatmaps.heat_order(heat, 3.0)[0]), heatmaps.GRID)
    assert (row // 2, column // 2) == (1, 5)
    assert set(heatmaps.centre_order()[:4]) == {6 * 14 + 6, 6 * 14 + 7, 104, 105}


@pytest.mark.parametrize("substitute", [heatmaps.NORMAL_FILM, heatmaps.BLURRED])
def test_a_map_of_the_opacity_is_better_than_a_random_one(substitute):
    report = heatmaps.measure(SUBJECT, some_films(), substitute=substitute)
    assert report is not None
    assert report.n == 12
    assert report.whole > 0.9
    if substitute == heatmaps.NORMAL_FILM:
        assert report.replaced < 0.5
        over_random = report.advantages[0]
        assert over_random.passed


def test_there_is_no_faithfulness_without_maps_or_positive_films():
    some = some_films()
    assert heatmaps.measure(DEAF, some) is None
    normal = some.at(some.labels == 0)
    assert heatmaps.measure(SUBJECT, normal) is None


def test_the_background_is_dark_ground_at_the_border_only():
    film = np.full((SIZE, SIZE), 120, np.uint8)
    film[:, :8] = 4
    film[20:40, 25:40] = 4
    found = heatmaps.background(film)
    assert found[:, :6].all()
    assert not found[:, 12:].any()


def test_a_registered_model_is_judged_as_it_serves(tmp_path):
    register_tiny_model(tmp_path)
    model = inference.load(tmp_path)
    subject = subjects.subject_of(model)
    some = some_films(6, 224)
    inputs = [model.network.prepare(film.astype(np.float32)) for film in some.pixels]
    served = [item.probability for item in model.predict_inputs(inputs)]
    np.testing.assert_allclose(subject.probabilities(some.pixels), served, atol=1e-6)
    assert subject.activation_maps is not None
    assert subject.activation_maps(some.pixels).shape == (6, 7, 7)


def test_the_whole_suite_is_one_document_and_a_table():
    some = some_films(40)
    parts = [name for name in suite.SUITES if name != suite.SHIFTS]
    report = suite.run(SUBJECT, some, suites=parts)
    text = json.dumps(documents.plain(asdict(report)))
    assert json.loads(text)["unchanged"]["n"] == 40
    words = tables.in_words(report)
    assert all(name in words for name in ("MARKERS", "STRATA", "STYLE", "HEAT MAP"))
    assert report.shifts is None
    assert report.twins is None


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="colour"):
        suite.run(DEAF, some_films(), suites=["colour"])


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A registered model and a data folder of eight films, four of either class."""
    register_tiny_model(tmp_path / "models")
    monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    for i in range(8):
        folder = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        film = chest_phantom(160, 160, seed=i) + np.float32(30 * (i % 2))
        (folder / f"{i}.png").write_bytes(as_png(np.clip(film, 0, 255)))
    return tmp_path / "data"


def test_the_command_writes_one_document(served, capsys):
    parts = "markers,strata,twins"
    arguments = ["--data", str(served), "--suite", parts, "--originals", str(served)]
    assert main(["robustness", *arguments, "--films", "6", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n"] == 6
    assert document["name"] == "tiny-1"
    assert document["twins"]["n"] == 8
    assert document["shifts"] is None


def test_the_command_writes_tables(served, capsys):
    assert main(["robustness", "--data", str(served), "--suite", "markers"]) == 0
    assert "MARKERS" in capsys.readouterr().out


def test_the_command_puts_the_worth_of_the_heat_map_on_the_card(
    served, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
    report = heatmaps.measure(SUBJECT, some_films())
    monkeypatch.setattr(heatmaps, "measure", lambda *_, **__: report)
    arguments = ["robustness", "--data", str(served), "--suite", "heatmap"]
    main([*arguments, "--onto-card"])
    card = registry.read_card(tmp_path / "models", "tiny-1")
    assert card.heatmap_worth == heatmaps.worth(report, "all films")


def test_a_heat_map_that_was_not_measured_is_not_put_on_a_card(served, capsys):
    arguments = ["robustness", "--data", str(served), "--suite", "markers"]
    assert main([*arguments, "--onto-card"]) == 2
    assert "The heat map was not measured" in capsys.readouterr().err


def test_the_exit_code_says_whether_every_bar_is_reached(served, capsys, monkeypatch):
    arguments = ["robustness", "--data", str(served), "--suite", "markers,style"]
    monkeypatch.setattr(markers, "MOST_CHANGE", -1.0)
    assert main(arguments) == 1
    assert "below the bar" in capsys.readouterr().out


def test_a_report_passes_if_no_part_is_below_its_bar():
    report = suite.run(DEAF, some_films(), suites=[])
    assert report.passed
    strata_report = strata.StrataReport(
        least_auc=0.98, fewest=20, strata=(), passed=False
    )
    assert not replace(report, strata=strata_report).passed
    pair = twins.TwinReport(
        most_gap=0.02,
        most_flipped=0.01,
        n_pairs=0,
        n_trained=0,
        n=0,
        with_trained=False,
        gap=None,
        passed=None,
    )
    assert replace(report, twins=pair).passed


@pytest.mark.parametrize(
    ("suite_of", "says"), [("colour", "no part colour"), ("twins", "--originals")]
)
def test_a_part_that_the_command_can_not_run_is_named(served, capsys, suite_of, says):
    assert main(["robustness", "--data", str(served), "--suite", suite_of]) == 2
    assert says in capsys.readouterr().err


def test_a_split_of_the_data_folder_itself(tmp_path):
    for name, seed in (("train/NORMAL/a.png", 1), ("val/PNEUMONIA/b.png", 2)):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_png(chest_phantom(160, 180, seed)))
    loaded = films.load(tmp_path / "data", {}, size=32, cache_dir=tmp_path / "cache")
    assert films.choose(loaded, "val").names == ("val/PNEUMONIA/b.png",)
    assert films.choose(loaded, "train").labels.tolist() == [0]
