"""The command that audits a model which this project never trained: audit."""

from __future__ import annotations

from pathlib import Path

import click

from icudl.cli.session import Session, examples, shared_options


@click.command(
    epilog=examples(
        "icudl audit model.json --data study.toml --trained-on elsewhere",
        "icudl audit model.onnx --data preprocess/77d0 --input grid --missing forward --output logit "
        "--trained-on elsewhere",
        "icudl audit model.txt --data study.toml --input summaries --trained-on training_stays --threshold 0.2",
    )
)
@click.argument("model")
@click.option(
    "--data", required=True, metavar="REF", help="A configuration whose data are read, or a result of preprocess."
)
@click.option("--input", "reads", default="flat", show_default=True, help="flat, grid, summaries or MODULE:FUNCTION.")
@click.option("--variables", help="Variables in the model's order, parted by commas; by default those of the data.")
@click.option("--missing", default="nan", show_default=True, help="Hours without a value: nan, forward, linear, zero.")
@click.option("--output", default="auto", show_default=True, help="What the model gives: probability or logit.")
@click.option(
    "--trained-on", default="", help="Whom the model has met: elsewhere, training_stays or listed. Has no default."
)
@click.option("--trained-stays", default="", metavar="CSV", help="With listed: their stay_id or patient_id.")
@click.option("--threshold", type=float, default=0.0, help="Decision threshold; by default validation stays choose it.")
@click.option(
    "--declare", multiple=True, metavar="KEY=VALUE", help="A further key of the model, such as order=variables."
)
@click.option("--beside", multiple=True, metavar="MODEL", help="Train and attack this model too: boosted_trees, ...")
@click.option("--max-stays", default=200, show_default=True, help="Most stays for each attack; 0 takes all.")
@shared_options
def audit(
    session: Session,
    model: str,
    data: str,
    reads: str,
    variables: str | None,
    missing: str,
    output: str,
    trained_on: str,
    trained_stays: str,
    threshold: float,
    declare: tuple[str, ...],
    beside: tuple[str, ...],
    max_stays: int,
) -> None:
    """Audit a model that was trained elsewhere, in one report.

    MODEL is a file of XGBoost (.json, .ubj), LightGBM (.txt), CatBoost (.cbm), scikit-learn by skops (.skops), ONNX
    (.onnx), TorchScript (.pt) or torch.export (.pt2), or an object, package.module:name. The audit is a study: scores,
    calibration and subgroups on stays that the model has not met; then one wrong value, few wrong values, entry errors,
    and random errors as the control.
    """
    from icudl.cli.commands.studies.running import bring_up_to_date
    from icudl.config.load import build, load_config, parse_setting
    from icudl.errors import ConfigError
    from icudl.models.outside.options import OutsideOptions
    from icudl.pipeline.audit import audit_study, data_of

    if session.config_path is not None:
        raise ConfigError(
            f"--config {str(session.config_path)!r} has no meaning here. Give the configuration as --data."
        )
    given = {
        "name": "outside",
        ("object" if ":" in model and not Path(model).exists() else "file"): _where(model),
        "input": reads,
        "variables": [name.strip() for name in variables.split(",")] if variables else [],
        "missing": missing,
        "output": output,
        "trained_on": trained_on,
        "trained_stays": _where(trained_stays) if trained_stays else "",
        "threshold": threshold,
    }
    for text in declare:
        path, value = parse_setting(f"model.{text}")
        if len(path) != 2:
            raise ConfigError(f"--declare {text!r} cannot be read. Expected KEY=VALUE, for example order=variables.")
        given[path[1]] = value
    options = build("model", "model", given, {})
    if not isinstance(options, OutsideOptions):
        raise ConfigError(f"--declare name={options.to_dict()['name']!r} names another model. Leave it out.")
    if Path(data).suffix == ".toml":
        base = load_config(Path(data), session.settings, completed=False)
    else:
        base = data_of(session.store(), session.find(data, stage="preprocess"), session.config())
    study = audit_study(base, options, beside=beside, max_stays=max_stays)
    bring_up_to_date(session, "report", config_override=study)


def _where(model: str) -> str:
    path = Path(model).expanduser()
    return model if ":" in model and not path.exists() else str(path.resolve())
