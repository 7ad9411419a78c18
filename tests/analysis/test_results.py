"""Labels of cells and tests, and final scores of every seed."""

import polars as pl
import pytest

from jaxemerge.analysis import cell_labels, final, final_scores, forms_a_curve, scale_column, scale_title
from jaxemerge.analysis.results import some_tests
from synthetic import population_frame


def test_every_member_has_its_own_last_step():
    short = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    long = population_frame([(2, 64)], seeds=5, lengths=(30,), steps=(0, 7, 11), diverged=0)
    last = final(pl.concat([short, long]))
    assert last.group_by("depth", "step").len().sort("depth").rows() == [(1, 7, 3 * 5), (2, 11, 5 * 5)]
    assert final(last).equals(last)


def test_a_metric_that_is_measured_more_often_does_not_hide_the_others():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    more = frame.filter(pl.col("metric") == "train_loss").with_columns(step=pl.col("step") + 5)
    last = final(pl.concat([frame, more]))
    assert set(last.filter(pl.col("metric") == "exact_match")["step"]) == {7}
    assert set(last.filter(pl.col("metric") == "train_loss")["step"]) == {12}


def test_seeds_are_pairs():
    """In a crossed design the same init_seed comes with several data_seeds."""
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), diverged=0)
    crossed = pl.concat([frame, frame.with_columns(data_seed=pl.col("data_seed") + 100)])
    assert final_scores(crossed).height == 6


def test_diverged_and_missing_values_are_scores_of_0():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), diverged=0)
    seed = pl.col("init_seed")
    broken = frame.with_columns(
        value=pl.when(seed == 0).then(float("nan")).when(seed == 1).then(None).otherwise("value")
    )
    assert final_scores(broken)["value"].to_list()[:2] == [0.0, 0.0]


def test_rows_are_labelled_and_in_order_of_scale():
    frame = population_frame([(8, 64), (2, 64)], seeds=2, lengths=(40, 30), diverged=0)
    scores = final_scores(frame)
    assert scores.select("label", "test", "init_seed").rows() == [
        (label, test, seed)
        for label in ("depth 2", "depth 8")
        for test in ("length 30", "length 40")
        for seed in (0, 1)
    ]


def test_a_test_without_length_and_several_splits_are_named():
    frame = population_frame([(1, 64)], seeds=2, lengths=(None,), diverged=0)
    assert set(final_scores(frame)["test"]) == {"all items"}
    other = frame.with_columns(split=pl.lit("reverse"))
    assert set(final_scores(pl.concat([frame, other]))["test"]) == {"test", "reverse"}


def test_refuses_to_count_a_seed_twice():
    frame = population_frame([(1, 64)], seeds=3, lengths=(30,), steps=(0, 7), diverged=0)
    twice = pl.concat([frame, frame.filter(pl.col("init_seed") == 1).with_columns(study=pl.lit("another"))])
    with pytest.raises(ValueError, match=r"5 final results are there twice .*keep one study"):
        final(twice)


def test_refuses_a_frame_without_its_columns_and_names_them_all():
    frame = population_frame([(1, 64)], seeds=2).drop("step", "diverged")
    with pytest.raises(ValueError, match="the frame lacks columns step, diverged; it has study, cell"):
        final(frame)
    with pytest.raises(ValueError, match="the frame lacks columns step, diverged"):
        final_scores(frame)


def test_refuses_a_metric_that_is_not_there():
    frame = population_frame([(1, 64)], seeds=2)
    with pytest.raises(
        ValueError, match="metric='brier' is not in the frame, which has answer_nll, exact_match"
    ):
        final_scores(frame, "brier")
    with pytest.raises(ValueError, match="metric='brier' is not in the frame, which has no rows"):
        final_scores(frame.clear(), "brier")


def study(cells, **extra):
    return population_frame(cells, seeds=2, lengths=(30,), steps=(0, 7), diverged=0, extra=extra)


@pytest.mark.parametrize(
    ("frame", "scale", "labels"),
    [
        (study([(8, 64), (1, 64)]), "depth", ["depth 1", "depth 8"]),
        (study([(4, 128), (4, 64)]), "width", ["width 64", "width 128"]),
        (
            study([(2, 128), (4, 64), (1, 64)]),
            "parameters",
            ["depth 1, width 64", "depth 4, width 64", "depth 2, width 128"],
        ),
        (
            study([(16, 64), (4, 128), (1, 256)]),
            "depth",
            ["depth 1, width 256", "depth 4, width 128", "depth 16, width 64"],
        ),
        (study([(4, 64)]), "depth", ["depth 4, width 64"]),
        (
            study([(4, 64)] * 3, learning_rate=[0.01, 3e-4, 0.003]),
            "learning_rate",
            ["lr 3e-4", "lr 3e-3", "lr 0.01"],
        ),
        (
            study([(4, 64), (2, 64)] * 2, learning_rate=[0.01, 0.01, 0.001, 0.001]),
            "depth",
            ["depth 2, lr 1e-3", "depth 2, lr 0.01", "depth 4, lr 1e-3", "depth 4, lr 0.01"],
        ),
        (study([(4, 64)] * 2, tied=[True, False]), "depth", ["tied False", "tied True"]),
        (study([(1, 64), (2, 64)], heads=[1, 2]), "depth", ["depth 1", "depth 2"]),
        (study([(4, 64)] * 2, weight_decay=[0.1, None]), "depth", ["weight decay 0.1", "depth 4, width 64"]),
    ],
)
def test_names_and_orders_by_what_varies(frame, scale, labels):
    found = cell_labels(frame)
    assert scale_column(frame) == scale
    assert found["label"].to_list() == labels
    assert found["rank"].to_list() == list(range(found.height))
    assert found["scale"].to_list() == found[scale].cast(pl.Float64).to_list()


def test_cells_that_nothing_tells_apart_are_numbered():
    frame = study([(4, 64)])
    other = frame.with_columns(cell=pl.lit("depth4-width64-other"))
    labels = cell_labels(pl.concat([frame, other]))["label"].to_list()
    assert sorted(labels)[1] == "depth 4, width 64 (2)"
    assert len(set(labels)) == 2


def test_tasks_tell_cells_apart():
    frames = [
        population_frame([(4, 64)], 2, (30,), (0, 7), diverged=0, task=task) for task in ("count", "add")
    ]
    assert cell_labels(pl.concat(frames))["label"].to_list() != ["depth 4, width 64"] * 2
    assert set(cell_labels(pl.concat(frames))["label"]) == {"count", "add"}


def test_a_column_that_varies_within_a_cell_is_no_hyperparameter():
    frame = study([(1, 64), (2, 64)]).with_row_index("row")
    assert "row" not in cell_labels(frame).columns
    assert cell_labels(frame)["label"].to_list() == ["depth 1", "depth 2"]


def test_titles_have_units():
    assert scale_title("depth") == "depth (layers)"
    assert scale_title("weight_decay") == "weight decay"


@pytest.mark.parametrize(
    ("cells", "curve"),
    [
        ([(1, 64), (2, 64), (4, 64)], True),
        ([(1, 64), (2, 64)], False),
        ([(1, 64)], False),
        ([(1, 64), (2, 64), (1, 128), (2, 128), (4, 64)], False),  # 1 x 128 and 4 x 64 have one size
        ([(16, 64), (4, 128), (1, 256)], True),  # one size, told apart by depth
    ],
)
def test_a_line_joins_only_cells_in_a_row(cells, curve):
    assert forms_a_curve(cell_labels(study(cells))) is curve


def test_cells_without_a_scale_are_not_joined():
    labels = cell_labels(study([(1, 64), (2, 64), (4, 64)]))
    assert not forms_a_curve(labels.with_columns(scale=pl.Series([None, 2.0, 4.0])))
    assert not forms_a_curve(labels.with_columns(scale=pl.Series([-1.0, 2.0, 4.0])))
    assert not forms_a_curve(labels.with_columns(scale=pl.Series([2.0, 2.05, 4.0])))


def test_refuses_a_frame_without_its_columns():
    frame = study([(1, 64)]).drop("parameters", "depth")
    for function in (cell_labels, scale_column):
        with pytest.raises(ValueError, match="the frame lacks columns depth, parameters"):
            function(frame)


def test_names_are_one_line():
    """Vega-Lite writes names into expressions, where U+2028 ends a string."""
    frame = study([(4, 64)] * 2, note=["a\u2028b\nc", "d"])
    assert cell_labels(frame)["label"].to_list() == ["note a b c", "note d"]
    splits = pl.concat([frame.with_columns(split=pl.lit(name)) for name in ("x\u2029y", "z")])
    assert {test.split(",")[0] for test in final_scores(splits)["test"]} == {"x y", "z"}


@pytest.mark.parametrize(
    ("most", "lengths"),
    [(9, (5, 10, 20, 40)), (8, (5, 10, 20, 40)), (6, (5, 20, 40)), (4, (5, 40)), (1, (40,))],
)
def test_some_tests_are_spread_over_the_lengths_of_every_split(most, lengths):
    one = final_scores(population_frame([(2, 64)], 3, (40, 10, 5, 20), (0, 10)))
    both = pl.concat([one.with_columns(split=pl.lit(split)) for split in ("a", "b")])
    chosen = some_tests(both, most)
    assert chosen.select("split", "length").unique().height == 2 * len(lengths)
    assert sorted(chosen["length"].unique()) == list(lengths)
    assert chosen.height == both.filter(pl.col("length").is_in(lengths)).height


def test_tests_without_length_stay():
    one = final_scores(population_frame([(2, 64)], 3, (None,), (0, 10)))
    three = pl.concat([one.with_columns(split=pl.lit(split)) for split in "abc"])
    assert some_tests(three, 2).height == three.height
