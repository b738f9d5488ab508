import pytest
from small_runs import write_pictures


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """One picture of 288x288."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))
