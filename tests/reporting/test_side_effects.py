"""The table of what else changed says what the metrics say, in plain words."""

from typing import Any

from cfx.reporting.side_effects import side_effects_table


def drift(
    change: float, auroc: float = 0.93, oracle: float | None = None, down: float = 0.5
) -> dict[str, Any]:
    """A drift section with one finding, the view, and no sex or age; the down direction is a share of the up one."""

    def side(figure: float) -> dict[str, Any]:
        best = None if oracle is None else oracle * figure / change
        output = {"change": figure, "oracle": best, "auroc": auroc, "readable": auroc >= 0.7}
        return {"findings": {"Edema": output}, "attributes": {"view": output, "sex": None, "age": None}}

    return {"up": side(change), "down": side(change * down)}


def test_the_worse_direction_stands_beside_another_patient_and_the_oracle(metrics: dict[str, Any]) -> None:
    identity = {"same_patient": 0.9, "same_patient_ceiling": 0.95, "same_patient_chance": 1 / 51}
    controls = {
        "nearest_real": {"drift": drift(0.4), "identity": {"same_patient": 0.02}},
        "oracle": {"drift": drift(0.03), "identity": {"same_patient": None}},
        "nothing": {"drift": drift(0.0)},
    }
    table = side_effects_table(
        metrics | {"drift": drift(0.04, oracle=0.01), "identity": identity, "controls": controls}
    )
    assert table.header == ("", "explainer", "nearest real", "oracle", "how well it is told")
    assert table.rows == (
        ("Edema", "0.040", "0.400", "0.010", "AUROC 0.93"),
        ("view (AP or PA)", "0.040", "0.400", "0.010", "AUROC 0.93"),
        ("recognised as the same patient", "0.90", "0.02", "–", "real pictures 0.95, by chance 0.02"),
    )
    assert "Mean |change|" in table.note and "entanglement" in table.note and "can not read" not in table.note


def test_controls_stand_in_the_direction_in_which_the_method_is_worse(metrics: dict[str, Any]) -> None:
    controls = {
        "nearest_real": {
            "drift": drift(0.4, down=0.1)
        },  # larger in the direction in which the method's is smaller
        "oracle": {"drift": drift(0.9)},
    }
    made = side_effects_table(metrics | {"drift": drift(0.02, oracle=0.004, down=3.0), "controls": controls})
    assert made.rows[0][:4] == (
        "Edema",
        "0.060",
        "0.040",
        "0.012",
    )  # the oracle on the method's pictures, not on its own


def test_what_can_not_be_read_says_so(metrics: dict[str, Any]) -> None:
    table = side_effects_table(metrics | {"drift": drift(0.04, auroc=0.55)})
    assert table.rows[0][-1] == "AUROC 0.55, can not be read" and "tells nothing" in table.note
    assert "oracle" not in table.note


def test_nothing_is_drawn_where_nothing_was_measured(metrics: dict[str, Any]) -> None:
    assert side_effects_table(metrics | {"drift": None}).rows == ()
    assert side_effects_table({"task": "edema"}).rows == ()
