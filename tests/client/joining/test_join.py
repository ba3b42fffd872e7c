"""A site and its coordinator over real TLS: joining, and everything that may come between."""

import json
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command import fedvox
from enrolment import Consortium, consortium, free_port, serving
from papers import new_papers
from proxy import connect_proxy

from fedvox.client.joining import membership
from fedvox.client.joining.join import Outcome, Wish, join
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.log import read_log
from fedvox.common.errors import IdentityError, InputError, UnreachableError
from fedvox.common.identity.addresses import Address
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import grouped
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.refusals import EnrolmentRefused
from fedvox.common.identity.tls import server_context
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.members import revoke_site
from fedvox.server.consortium.registry import SiteState


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    port = free_port()
    made = consortium(tmp_path_factory.mktemp("trial") / "hub", port)
    with serving(made, port):
        yield made


_count = iter(range(1000))


@pytest.fixture
def kit(hub: Consortium) -> Kit:
    return invite(hub.authority, f"site-{next(_count)}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "site"


def test_joining(hub: Consortium, kit: Kit, home: Path, tmp_path: Path) -> None:
    kit.write(tmp_path / "a.kit")
    said = fedvox("site", "join", tmp_path / "a.kit", "--home", home, "--data", "phantom:2")
    own = Credentials.load(home / "identity")
    assert said.status == 0, said.err
    assert grouped(own.fingerprint) in said.out and grouped(kit.authority) in said.out
    assert SiteSettings.load(home) == SiteSettings(
        kit.site, "trial", tuple(map(str, kit.addresses)), data="phantom:2"
    )
    assert hub.authority.registry.node_key(kit.site) == own.identity.public_key
    assert [line.kind for line in read_log(home / "audit.jsonl")] == ["opened", "joined"]
    assert (home / "identity/coordinator.pem").exists()


def test_what_is_secret_stays_on_site_and_is_the_sites_only(kit: Kit, home: Path) -> None:
    join(home, kit, Wish())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*")}
    for name in ("key.pem", "site.toml", "audit.jsonl"):
        assert modes[name] == 0o600
    assert modes["identity"] == 0o700
    text = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert kit.token.encode() not in text
    assert not (home / "identity/joining.pem").exists()


def test_joining_again_says_so_and_changes_only_what_was_asked(
    hub: Consortium, kit: Kit, home: Path, tmp_path: Path
) -> None:
    first = join(home, kit, Wish(data="phantom:1", proxy=""))
    before = (home / "identity/chain.pem").read_bytes()
    kit.write(tmp_path / "a.kit")
    said = fedvox("site", "join", tmp_path / "a.kit", "--home", home, "--json")
    told = json.loads(said.out)
    assert (told["outcome"], told["fingerprint"]) == ("already joined", first.fingerprint)
    assert (home / "identity/chain.pem").read_bytes() == before
    assert SiteSettings.load(home).data == "phantom:1"
    join(home, kit, Wish(data="phantom:3"))
    assert SiteSettings.load(home).data == "phantom:3"


def test_a_kit_that_was_used_elsewhere(kit: Kit, home: Path, tmp_path: Path) -> None:
    join(tmp_path / "thief", kit, Wish())
    with pytest.raises(EnrolmentRefused, match="used before, by another key"):
        join(home, kit, Wish())
    assert not (home / "site.toml").exists()


def test_an_expired_kit_is_not_even_tried(kit: Kit, home: Path) -> None:
    late = replace(kit, expires=utc_now() - timedelta(seconds=1), addresses=(Address("x", 1),))
    with pytest.raises(IdentityError, match=r"expired on .*--again"):
        join(home, late, Wish())
    assert not home.exists()


def test_a_folder_belongs_to_one_site_of_one_consortium(
    hub: Consortium, kit: Kit, home: Path
) -> None:
    join(home, kit, Wish())
    with pytest.raises(IdentityError, match="another folder"):
        join(home, invite(hub.authority, f"other-{next(_count)}"), Wish())
    with pytest.raises(IdentityError, match="another consortium"):
        join(home, replace(kit, authority="ab" * 32), Wish())


def test_a_kit_with_another_root_is_not_joined_and_nothing_is_sent(
    hub: Consortium, kit: Kit, home: Path
) -> None:
    before = len(hub.said)
    with pytest.raises(UnreachableError, match="another fingerprint"):
        join(home, replace(kit, authority="ab" * 32), Wish())
    assert hub.said[before:] == []
    state = hub.authority.registry.site(kit.site)
    assert state is not None and state.state is SiteState.INVITED
    join(home, kit, Wish())  # the kit is as good as before


def test_a_kit_under_another_name_gets_no_certificate_for_it(kit: Kit, home: Path) -> None:
    with pytest.raises(IdentityError, match="another site's"):
        join(home, replace(kit, site="somebody-else"), Wish())
    assert not (home / "site.toml").exists()


def test_who_stands_between_with_the_right_root_but_no_key_of_it(
    hub: Consortium, kit: Kit, home: Path, tmp_path: Path
) -> None:
    """The root is public: showing it must not be enough to be sent the request."""
    evil = new_papers().coordinator(tmp_path / "evil")
    port, before = free_port(), len(hub.said)
    elsewhere = replace(kit, addresses=(Address("127.0.0.1", port),))
    with (
        serving(hub, port, server_context(evil)),
        pytest.raises(UnreachableError, match="is not the coordinator"),
    ):
        join(home, elsewhere, Wish())
    assert hub.said[before:] == []


def test_a_dead_address_is_passed_over(hub: Consortium, kit: Kit, home: Path) -> None:
    dead = Address("127.0.0.1", free_port())
    join(home, replace(kit, addresses=(dead, *kit.addresses)), Wish())
    assert SiteSettings.load(home).addresses == (str(dead), str(kit.addresses[0]))


def test_when_nobody_answers_every_address_is_told_with_its_reason(kit: Kit, home: Path) -> None:
    with no_coordinator() as port:
        dead = Address("127.0.0.1", free_port())
        lost = replace(kit, addresses=(dead, Address("127.0.0.1", port)))
        with pytest.raises(UnreachableError) as error:
            join(home, lost, Wish())
    assert f"{dead}: " in str(error.value) and f"127.0.0.1:{port}: " in str(error.value)
    assert "--proxy" in str(error.value)


@contextmanager
def no_coordinator() -> Iterator[int]:
    """Something that accepts connections and talks no TLS."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            with taken:
                taken.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_interrupted_anywhere_the_same_command_goes_on(
    kit: Kit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the answer was lost, and after each file that keeping it writes."""
    steps = ("_close_log_of_another_key", "write_credentials", "write_bytes_atomic",
             "write_text_atomic", "sync_folder")  # fmt: skip
    keys = set()
    for step in steps:
        with monkeypatch.context() as patch:

            def die(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(membership, step, die)
            with pytest.raises(KeyboardInterrupt):
                join(home, kit, Wish())
            for left in (home / "identity/joining.pem", home / "identity/key.pem"):
                if left.exists():
                    keys.add(left.read_bytes())
    assert join(home, kit, Wish()).outcome in (Outcome.JOINED, Outcome.ALREADY)
    assert len(keys) == 1 and Credentials.load(home / "identity")
    assert SiteSettings.load(home).site == kit.site


def test_a_new_kit_joins_again_and_keeps_the_key(hub: Consortium, kit: Kit, home: Path) -> None:
    first = join(home, kit, Wish(data="phantom:1"))
    second = join(home, invite(hub.authority, kit.site, again=True), Wish())
    assert (second.outcome, second.fingerprint) == (Outcome.JOINED, first.fingerprint)
    assert SiteSettings.load(home).data == "phantom:1"


def test_after_its_certificate_has_ended_the_site_joins_with_a_new_kit(
    hub: Consortium, kit: Kit, home: Path
) -> None:
    join(home, kit, Wish())
    own, issuer = Credentials.load(home / "identity"), hub.authority.issuer()
    then, life = utc_now() - timedelta(days=30), timedelta(days=14)
    old = issue_site(kit.site, own.key.public_key(), issuer, then, life)
    write_credentials(home / "identity", own.key, [old, issuer.certificate], own.root)
    again = invite(hub.authority, kit.site, again=True)
    assert join(home, again, Wish()).fingerprint == own.fingerprint


def test_a_revoked_site_that_is_invited_again_needs_a_new_key(
    hub: Consortium, kit: Kit, home: Path
) -> None:
    first = join(home, kit, Wish())
    (home / "identity/pseudonym.key").write_text("of somebody else's making")
    revoke_site(hub.authority, kit.site)
    again = invite(hub.authority, kit.site, again=True)
    with pytest.raises(EnrolmentRefused, match="--new-key"):
        join(home, again, Wish())
    second = join(home, again, Wish(new_key=True))
    assert second.fingerprint != first.fingerprint
    assert hub.authority.registry.node_key(kit.site) is not None
    assert (home / "identity/pseudonym.key").exists()
    # A log is signed by one key: another key begins another.
    assert len(list(home.glob("audit*.jsonl"))) == 2


def test_a_new_key_needs_a_kit_of_its_own(hub: Consortium, kit: Kit, home: Path) -> None:
    first = join(home, kit, Wish())
    with pytest.raises(InputError, match="a kit is good for one key"):
        join(home, kit, Wish(new_key=True))
    assert join(home, kit, Wish()).fingerprint == first.fingerprint


def test_a_new_key_that_was_refused_is_not_the_next_one(
    hub: Consortium, kit: Kit, home: Path
) -> None:
    first = join(home, kit, Wish())
    replaced = invite(hub.authority, kit.site, again=True)
    newest = invite(hub.authority, kit.site, again=True)
    with pytest.raises(EnrolmentRefused, match="replaced"):
        join(home, replaced, Wish(new_key=True))
    assert not (home / "identity/joining.pem").exists()
    assert join(home, newest, Wish()).fingerprint == first.fingerprint


def test_whoever_joins_with_a_new_key_is_told_that_the_policy_must_be_signed_again(
    hub: Consortium, kit: Kit, home: Path, tmp_path: Path
) -> None:
    kit.write(tmp_path / "first.kit")
    assert "NOTHING RUNS" not in fedvox("site", "join", tmp_path / "first.kit", "--home", home).out
    for what in ("init", "sign"):
        assert fedvox("site", "policy", what, "--home", home).status == 0
    invite(hub.authority, kit.site, again=True).write(tmp_path / "second.kit")
    words = ("site", "join", tmp_path / "second.kit", "--home", home)
    said = fedvox(*words, "--new-key").out
    assert "NOTHING RUNS YET" in said and "policy sign" in said
    fedvox("site", "policy", "sign", "--home", home)
    assert "NOTHING RUNS" not in fedvox(*words).out


def through(proxy: str, authority: Path | None = None) -> Wish:
    return Wish(proxy=proxy, proxy_ca=str(authority) if authority else None)


def test_through_a_proxy(kit: Kit, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):  # these are nobody's business
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with connect_proxy() as proxy:
        join(home, kit, through(f"http://127.0.0.1:{proxy.port}"))
    assert set(proxy.asked) == {str(kit.addresses[0])} and len(proxy.asked) == 2
    assert b"BEGIN CERTIFICATE" not in proxy.tunnelled  # it sees TLS and no more
    assert SiteSettings.load(home).proxy == f"http://127.0.0.1:{proxy.port}"


def test_without_a_proxy_named_none_is_used(
    kit: Kit, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        join(home, kit, Wish())
    assert proxy.asked == []


def test_a_proxy_with_a_password(kit: Kit, home: Path) -> None:
    with connect_proxy(password="eva:secret") as proxy:
        with pytest.raises(UnreachableError, match="407") as error:
            join(home, kit, through(f"http://eva:wrong@127.0.0.1:{proxy.port}"))
        assert "wrong" not in str(error.value)
        join(home, kit, through(f"http://eva:secret@127.0.0.1:{proxy.port}"))
    assert "secret" not in (home / "audit.jsonl").read_text()


def test_a_proxy_behind_tls_needs_its_authority(kit: Kit, home: Path, tmp_path: Path) -> None:
    """The hospital's own authority, which vouches for its proxy and for nobody else."""
    hospital = new_papers("hospital")
    own = hospital.coordinator(tmp_path / "proxy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.chain_file, own.key_file)
    with connect_proxy(context) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        with pytest.raises(UnreachableError):
            join(home, kit, through(url))
        join(home, kit, through(url, tmp_path / "proxy/ca.pem"))
    assert proxy.asked


@pytest.mark.parametrize("url", ["proxy:3128", "socks5://proxy:1", "http://", "ftp://p:1", "::"])
def test_what_is_no_proxy(kit: Kit, home: Path, url: str) -> None:
    with pytest.raises(InputError, match="http://HOST:PORT"):
        join(home, kit, through(url))


def test_a_proxy_authority_that_is_none(kit: Kit, home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--proxy-ca"):
        join(home, kit, through("https://127.0.0.1:1", tmp_path / "none.pem"))
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(InputError, match="--proxy-ca"):
        join(home, kit, through("https://127.0.0.1:1", tmp_path / "text"))
