"""libotr (Debian's libotr5) driven directly, as the other side of our machines. It is loaded, never copied or linked."""

from __future__ import annotations

import ctypes as c
from ctypes.util import find_library

from bed.otr_transcript import PLACE

ACCOUNT, PROTOCOL = b"alice@example.org", b"prpl-jabber"
PEER = b"bob@example.org"
RECORDED = PLACE / "libotr-alice.otr"
ALLOW = {2: 0x02, 3: 0x04}
REQUIRE, SEND_TAG, START_ON_TAG, START_ON_ERROR = 0x08, 0x10, 0x20, 0x40
BEST, SEND_ALL = 1, 1
SETUP_ERROR = 4
ASKED = {4: "question", 5: "secret"}
ENDED = {2: "aborted", 3: "cheated", 7: True, 8: False}

_P, _S, _I = c.c_void_p, c.c_char_p, c.c_int
# The application's callbacks in their order in libotr 4: result and arguments.
_OPS = (
    ("policy", c.c_uint, (_P, _P)),
    ("create_privkey", None, (_P, _S, _S)),
    ("is_logged_in", _I, (_P, _S, _S, _S)),
    ("inject_message", None, (_P, _S, _S, _S, _S)),
    ("update_context_list", None, (_P,)),
    ("new_fingerprint", None, (_P, _P, _S, _S, _S, _P)),
    ("write_fingerprints", None, (_P,)),
    ("gone_secure", None, (_P, _P)),
    ("gone_insecure", None, (_P, _P)),
    ("still_secure", None, (_P, _P, _I)),
    ("max_message_size", _I, (_P, _P)),
    ("account_name", _P, (_P, _S, _S)),
    ("account_name_free", None, (_P, _P)),
    ("received_symkey", None, (_P, _P, c.c_uint, _P, c.c_size_t, _P)),
    ("otr_error_message", _P, (_P, _P, _I)),
    ("otr_error_message_free", None, (_P, _P)),
    ("resent_msg_prefix", _P, (_P, _P)),
    ("resent_msg_prefix_free", None, (_P, _P)),
    ("handle_smp_event", None, (_P, _I, _P, c.c_ushort, _S)),
    ("handle_msg_event", None, (_P, _I, _P, _S, c.c_uint)),
    ("create_instag", None, (_P, _S, _S)),
    ("convert_msg", None, (_P, _P, _I, _P, _S)),
    ("convert_free", None, (_P, _P, _P)),
    ("timer_control", None, (_P, c.c_uint)),
)
_TYPES = {name: c.CFUNCTYPE(result, *arguments) for name, result, arguments in _OPS}


class _Ops(c.Structure):
    _fields_ = tuple(_TYPES.items())


def library():
    """The loaded libotr, or None where it is not installed."""
    name = find_library("otr")
    if name is None:
        return None
    loaded = c.CDLL(name)
    for function, result, arguments in (
        ("otrl_userstate_create", _P, ()),
        ("otrl_userstate_free", None, (_P,)),
        ("otrl_privkey_read", c.c_uint, (_P, _S)),
        ("otrl_instag_read", c.c_uint, (_P, _S)),
        ("otrl_instag_write", c.c_uint, (_P, _S)),
        ("otrl_privkey_fingerprint_raw", _P, (_P, _S, _S, _S)),
        ("otrl_privkey_read_fingerprints", c.c_uint, (_P, _S, _P, _P)),
        ("otrl_privkey_write_fingerprints", c.c_uint, (_P, _S)),
        ("otrl_message_free", None, (_P,)),
        ("otrl_tlv_free", None, (_P,)),
        ("otrl_message_sending", c.c_uint, (_P, _P, _P, _S, _S, _S, c.c_uint, _S, _P, _P, _I, _P, _P, _P)),
        ("otrl_message_receiving", _I, (_P, _P, _P, _S, _S, _S, _S, _P, _P, _P, _P, _P)),
        ("otrl_message_disconnect", None, (_P, _P, _P, _S, _S, _S, c.c_uint)),
        ("otrl_message_initiate_smp", None, (_P, _P, _P, _P, _S, c.c_size_t)),
        ("otrl_message_initiate_smp_q", None, (_P, _P, _P, _P, _S, _S, c.c_size_t)),
        ("otrl_message_respond_smp", None, (_P, _P, _P, _P, _S, c.c_size_t)),
        ("otrl_context_find", _P, (_P, _S, _S, _S, c.c_uint, _I, _P, _P, _P)),
    ):
        getattr(loaded, function).restype = result
        getattr(loaded, function).argtypes = arguments
    assert loaded.otrl_init(4, 1, 0) == 0
    return loaded


class Libotr:
    """A client made of libotr, with a recorded key. What it sends is gathered in ``out``.

    *files*: how the paths of key and instance tag of *account* begin, which writes to *peer*.
    """

    def __init__(
        self, loaded, versions=(2, 3), size=0, policy=START_ON_TAG | START_ON_ERROR,
        *, account=ACCOUNT, peer=PEER, files=RECORDED,
    ):  # fmt: skip
        self.loaded, self.size = loaded, size
        self.account, self.peer = account, peer
        self.policy = policy | sum(ALLOW[one] for one in versions)
        self.out, self.heard, self.unasked, self.compared = [], [], [], []
        self.secure = self.failed = False
        self.callbacks = self._ops()
        self.ops = c.byref(self.callbacks)
        self.state = loaded.otrl_userstate_create()
        for read, kind in (("otrl_privkey_read", "private_key"), ("otrl_instag_read", "instance_tags")):
            assert getattr(loaded, read)(self.state, f"{files}.{kind}".encode()) == 0

    def _ops(self):
        def secured(*_):
            self.secure, self.failed = True, False

        def unsecured(*_):
            self.secure = False

        given = {
            "policy": lambda *_: self.policy,
            "is_logged_in": lambda *_: 1,
            "inject_message": lambda *a: self.out.append(a[4].decode()),
            "max_message_size": lambda *_: self.size,
            "gone_secure": secured,
            "still_secure": secured,
            "gone_insecure": unsecured,
            "handle_msg_event": lambda *a: self._event(a[1]),
            "handle_smp_event": lambda _, event, *rest: self._smp(event, rest[2]),
        }
        none = {
            "account_name",
            "account_name_free",
            "otr_error_message",
            "otr_error_message_free",
            "convert_msg",
        }
        none |= {"resent_msg_prefix", "resent_msg_prefix_free", "convert_free", "timer_control"}
        made = [
            kind() if name in none else kind(given.get(name, lambda *_: None))
            for name, kind in _TYPES.items()
        ]
        return _Ops(*made)

    def _event(self, event):
        """Note that libotr gave up a handshake, by which it may lose the session that it had."""
        self.failed = self.failed or event == SETUP_ERROR

    def _smp(self, event, question):
        if event in ASKED:
            self.unasked.append((question or b"").decode())
        elif event in ENDED:
            self.compared.append(ENDED[event])

    def close(self):
        self.loaded.otrl_userstate_free(self.state)

    @property
    def context(self):
        return self.loaded.otrl_context_find(
            self.state, self.peer, self.account, PROTOCOL, BEST, 0, None, None, None
        )

    def sent(self):
        out, self.out = self.out, []
        return out

    def say(self, text):
        """Send *text*; returns what leaves, whole."""
        message = c.c_void_p()
        self.loaded.otrl_message_sending(
            self.state, self.ops, None, self.account, PROTOCOL, self.peer, BEST, text.encode(), None,
            c.byref(message), SEND_ALL, None, None, None,
        )  # fmt: skip
        self.loaded.otrl_message_free(message)
        return self.sent()

    def take(self, text):
        """Take in *text*; returns what leaves."""
        message, tlvs = c.c_void_p(), c.c_void_p()
        internal = self.loaded.otrl_message_receiving(
            self.state, self.ops, None, self.account, PROTOCOL, self.peer, text.encode(),
            c.byref(message), c.byref(tlvs), None, None, None,
        )  # fmt: skip
        if message and not internal:
            self.heard.append(c.string_at(message))
        self.loaded.otrl_message_free(message)
        self.loaded.otrl_tlv_free(tlvs)
        return self.sent()

    def disconnect(self):
        self.loaded.otrl_message_disconnect(
            self.state, self.ops, None, self.account, PROTOCOL, self.peer, BEST
        )
        self.secure = False
        return self.sent()

    def ask(self, secret, question=""):
        if question:
            self.loaded.otrl_message_initiate_smp_q(
                self.state, self.ops, None, self.context, question.encode(), secret, len(secret)
            )
        else:
            self.loaded.otrl_message_initiate_smp(
                self.state, self.ops, None, self.context, secret, len(secret)
            )
        return self.sent()

    def answer(self, secret):
        self.unasked.clear()
        self.loaded.otrl_message_respond_smp(self.state, self.ops, None, self.context, secret, len(secret))
        return self.sent()
