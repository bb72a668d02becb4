"""The site's secret: made once, and no way back from a hash under it."""

import hashlib
import hmac
import threading

import pytest

from cxr.errors import CxrError
from cxr.records import keys


def test_of_many_who_ask_first_all_get_the_same(tmp_path):
    found, start = [], threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(keys.secret(tmp_path, first=True))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8
    assert [path.name for path in tmp_path.iterdir()] == [keys.KEY]
    assert (tmp_path / keys.KEY).stat().st_mode & 0o777 == 0o600


def test_a_hash_is_half_of_the_hmac_and_nothing_stays_nothing():
    key = bytes(range(32))
    whole = hmac.new(key, b"abc", hashlib.sha256).hexdigest()
    assert keys.keyed(key, "abc") == whole[:32]
    assert keys.keyed(key, "") == ""


def test_two_sites_have_two_secrets(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert keys.secret(tmp_path / "a", first=True) != keys.secret(
        tmp_path / "b", first=True
    )


def test_where_something_was_kept_no_second_secret_is_made(tmp_path):
    with pytest.raises(CxrError) as refused:
        keys.secret(tmp_path, first=False)
    assert refused.value.code == "history-key"
    assert list(tmp_path.iterdir()) == []
