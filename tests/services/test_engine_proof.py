"""An engine that cannot run jobs takes none, says why, and brings files where they belong."""

import pytest
from django.core.files.storage import default_storage

from moi_django import ctx_default, submit
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.health.report import examine_all
from tests.helpers.engines import engines_beside
from tests.helpers.file_delivery import receiving
from tests.helpers.processes import environment, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 60


@pytest.fixture
def code(moi, tmp_path):
    """The directory of a module that engines have to find."""
    moi["ENGINE_IMPORTS"] = ["lab_of_tests.models"]
    (tmp_path / "code").mkdir()
    (tmp_path / "code/lab_of_tests.py").touch()
    return tmp_path / "code"


def test_jobs_wait_for_an_engine_that_can_run_them_and_go_past_others(
    own_cluster, moi, store, code, reconciler
):
    """One has not the code of the site, another one settings that cannot be imported."""
    own_cluster(0)
    client_file = moi["CONTEXTS"]["default"]["connection_file"]
    path = f"{environment()['PYTHONPATH']}:{code}"
    with engines_beside(
        client_file, {}, {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "no.such"}
    ) as unfit:
        jobs = [submit(ctx_default, "ada", str(n), None, work.triple, n) for n in range(12)]
        why = "Waits for an engine that can run it: "
        wait_for(lambda: jobs[0].refresh().status.startswith(why), "a reason")
        refusals = store.engines.refusals()
        assert refusals.keys() == {engine.id for engine in unfit}
        [health] = [each for each in examine_all() if each.part == "engines default"]
        assert not health.ok and "2 engines, 2 of which take no job: " in health.text
        with engines_beside(client_file, {"PYTHONPATH": path}) as fit:
            assert [job.value(SOON) for job in jobs] == [3 * n for n in range(12)]
            assert {job.refresh().info.engine for job in jobs} == {engine.id for engine in fit}
    for text in (
        "there is no module 'lab_of_tests', code of the site",
        "Django cannot be set up: ModuleNotFoundError",
    ):
        assert any(refusal.startswith(text) for refusal in refusals.values()), refusals


def test_files_of_an_engine_with_a_directory_of_its_own_reach_the_site(
    own_cluster, settings, store, moi, tmp_path
):
    settings.MEDIA_ROOT = str(tmp_path / "media")
    own_cluster(0)
    client_file = moi["CONTEXTS"]["default"]["connection_file"]
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 300_000)
    with engines_beside(client_file, {"MOI_TEST_MEDIA": str(tmp_path / "elsewhere")}), receiving():
        job = submit(ctx_default, "ada", "a job", None, work.attach_files, str(large))
        assert job.value(SOON) == "attached"
        kept = attachments_of(store, job.id)
        for name, content in (("notes.txt", large.read_bytes()), ("table.csv", b"a,b\n3,4\n")):
            with default_storage.open(kept[name].path) as file:
                assert file.read() == content
        assert not (tmp_path / "elsewhere").exists()
