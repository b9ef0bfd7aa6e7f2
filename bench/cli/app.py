"""The command line put together: every command under its name."""

import typer

from bench.cli import (
    audit,
    board,
    compare,
    contribute,
    data,
    database,
    listing,
    probe,
    reproduce,
    results,
    run,
    site,
    speed,
    submit,
    suite,
    time,
    tune,
)

app = typer.Typer(
    name="bench",
    help="Compare sequence models on long dependencies: equal budgets, every seed kept, test data read once.",
    epilog="Start with:  python -m bench run --model fru",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("run", epilog=run.EPILOG)(run.run)
app.command("tune", epilog=tune.EPILOG)(tune.tune)
app.command("suite", epilog=suite.EPILOG)(suite.suite)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("models", epilog=listing.MODELS_EPILOG)(listing.models)
app.command("tasks", epilog=listing.TASKS_EPILOG)(listing.tasks)
app.command("suites", epilog=suite.SUITES_EPILOG)(suite.suites)
app.command("studies", epilog=tune.STUDIES_EPILOG)(tune.studies)
app.command("new-model", epilog=contribute.NEW_MODEL_EPILOG)(contribute.new_model)
app.command("new-task", epilog=contribute.NEW_TASK_EPILOG)(contribute.new_task)
app.command("check", epilog=contribute.CHECK_EPILOG)(contribute.check)
app.command("runs", epilog=board.RUNS_EPILOG)(board.runs)
app.command("leaderboard", epilog=board.LEADERBOARD_EPILOG)(board.leaderboard)
app.command("audit", epilog=audit.EPILOG)(audit.audit)
app.command("show", epilog=board.SHOW_EPILOG)(board.show)
app.command("bundle", epilog=submit.EPILOG)(submit.bundle)
app.command("verify", epilog=submit.VERIFY_EPILOG)(submit.verify)
app.command("import", epilog=submit.IMPORT_EPILOG)(submit.import_)
app.command("retract", epilog=submit.RETRACT_EPILOG)(submit.retract)
app.command("app", epilog=board.APP_EPILOG)(board.serve)
app.command("site", epilog=site.EPILOG)(site.site)
app.add_typer(data.app, name="data")
app.command("speed", epilog=speed.EPILOG)(speed.speed)
app.command("time", epilog=time.EPILOG)(time.time)
app.command("probe", epilog=probe.EPILOG)(probe.probe)
app.command("reproduce", epilog=reproduce.EPILOG)(reproduce.reproduce)
app.command("results", epilog=results.EPILOG)(results.results)
app.add_typer(database.app, name="db")
