"""Places in messages: beside a body and alone, in children that are allowed and in those that are not, and in addresses."""

from __future__ import annotations

from bed.place import Place
from e2eproxy.proxy.kinds import Kind

CHAT_STATES = "http://jabber.org/protocol/chatstates"
_SIGNAL = f"<active xmlns='{CHAT_STATES}'/>"


def _chat(content, *, to="to='$to'", kind="type='chat'"):
    return f"<message {to} {kind} id='$id'>{content}</message>"


# Children of a message that carry text, as (name, element).
CHILDREN = (
    ("subject", "<subject>$c</subject>"),
    ("thread", "<thread>$c</thread>"),
    ("parent of the thread", "<thread parent='$c'>0123456789abcdef0123</thread>"),
    (
        "XHTML-IM",
        "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><p>$c</p></body></html>",
    ),
    (
        "attribute in XHTML-IM",
        (
            "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
            "<p><img alt='$c' src='https://example.test/a'/></p></body></html>"
        ),
    ),
    ("real-time text", "<rtt xmlns='urn:xmpp:rtt:0' seq='1' event='new'><t>$c</t></rtt>"),
    ("attribute of real-time text", "<rtt xmlns='urn:xmpp:rtt:0' seq='$c'/>"),
    ("reaction", "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>$c</reaction></reactions>"),
    ("what a reaction is to", "<reactions xmlns='urn:xmpp:reactions:0' id='$c'/>"),
    ("reply", "<reply xmlns='urn:xmpp:reply:0' to='$to' id='$c'/>"),
    (
        "reply and fallback",
        (
            "<reply xmlns='urn:xmpp:reply:0' to='$to' id='1'/>"
            "<fallback xmlns='urn:xmpp:fallback:0' for='$c'><body start='0' end='5'/></fallback>"
        ),
    ),
    ("correction", "<replace xmlns='urn:xmpp:message-correct:0' id='$c'/>"),
    ("retraction", "<retract xmlns='urn:xmpp:message-retract:1' id='1' reason='$c'/>"),
    (
        "attachment URL",
        "<x xmlns='jabber:x:oob'><url>https://files.example.test/$c.png</url><desc>$c</desc></x>",
    ),
    (
        "file sharing",
        (
            "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>$c</name></file><sources>"
            "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://files.example.test/$c'/></sources></file-sharing>"
        ),
    ),
    ("reference", "<reference xmlns='urn:xmpp:reference:0' type='data' uri='xmpp:$c'/>"),
    ("nick", "<nick xmlns='http://jabber.org/protocol/nick'>$c</nick>"),
    ("reason of a direct invitation", "<x xmlns='jabber:x:conference' jid='$room' reason='$c'/>"),
    (
        "data form",
        "<x xmlns='jabber:x:data' type='submit'><field var='a'><value>$c</value></field></x>",
    ),
    (
        "label in a data form",
        "<x xmlns='jabber:x:data' type='form'><title>$c</title><field var='$c' label='$c'/></x>",
    ),
    (
        "PEP event",
        "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='$c'><item>$c</item></items></event>",
    ),
    ("geographical location", "<geoloc xmlns='http://jabber.org/protocol/geoloc'><text>$c</text></geoloc>"),
    ("mood", "<mood xmlns='http://jabber.org/protocol/mood'><happy/><text>$c</text></mood>"),
    ("signed text", "<x xmlns='jabber:x:signed'>$c</x>"),
    ("delay", "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'>$c</delay>"),
    (
        "advanced message processing",
        "<amp xmlns='http://jabber.org/protocol/amp'><rule action='drop' condition='deliver' value='$c'/></amp>",
    ),
    ("markup", "<markup xmlns='urn:xmpp:markup:0'><span start='0' end='1'><code id='$c'/></span></markup>"),
    ("spoiler", "<spoiler xmlns='urn:xmpp:spoiler:0'>$c</spoiler>"),
    (
        "forwarded message",
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>$c</body></message></forwarded>",
    ),
    (
        "XEP-0131 header",
        "<headers xmlns='http://jabber.org/protocol/shim'><header name='$c'>$c</header></headers>",
    ),
    ("unknown child", "<x xmlns='urn:example:unknown'>$c</x>"),
    ("name of an unknown child", "<$n xmlns='urn:example:unknown'/>"),
    ("namespace of an unknown child", "<x xmlns='urn:$n'/>"),
    ("child without a namespace of its own", "<note>$c</note>"),
    ("child in no namespace", "<x xmlns=''>$c</x>"),
    # In elements of the allow-list.
    ("content of a chat state", f"<active xmlns='{CHAT_STATES}'>$c</active>"),
    ("attribute of a chat state", f"<active xmlns='{CHAT_STATES}' mood='$c'/>"),
    ("child of a chat state", f"<active xmlns='{CHAT_STATES}'><mood>$c</mood></active>"),
    (
        "deep inside a chat state",
        f"<composing xmlns='{CHAT_STATES}'><a><b><c d='$c'>$c</c></b></a></composing>",
    ),
    ("unknown chat state", f"<$n xmlns='{CHAT_STATES}'/>"),
    ("attribute of a request for a receipt", "<request xmlns='urn:xmpp:receipts' to='$c'/>"),
    ("id of a receipt", "<received xmlns='urn:xmpp:receipts' id='$c'/>"),
    ("content of a receipt", "<received xmlns='urn:xmpp:receipts' id='0123456789abcdef'>$c</received>"),
    ("id of a marker", "<displayed xmlns='urn:xmpp:chat-markers:0' id='$c'/>"),
    (
        "attribute of a marker",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='0123456789abcdef' sender='$c'/>",
    ),
    ("id of an old event", "<x xmlns='jabber:x:event'><composing/><id>$c</id></x>"),
    ("content of an old event", "<x xmlns='jabber:x:event'><composing>$c</composing></x>"),
    ("content of a hint", "<store xmlns='urn:xmpp:hints'>$c</store>"),
    ("attribute of a hint", "<no-store xmlns='urn:xmpp:hints' why='$c'/>"),
    ("unknown hint", "<$n xmlns='urn:xmpp:hints'/>"),
    ("content of the carbons' private", "<private xmlns='urn:xmpp:carbons:2'>$c</private>"),
    ("name of an encryption", "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0' name='$c'/>"),
    ("namespace of an encryption", "<encryption xmlns='urn:xmpp:eme:0' namespace='$c'/>"),
    ("attribute beside an origin id", "<origin-id xmlns='urn:xmpp:sid:0' id='1' by='$c'/>"),
    ("stanza id", "<stanza-id xmlns='urn:xmpp:sid:0' id='$c' by='$me'/>"),
    ("text in the mark of a room's private message", "<x xmlns='http://jabber.org/protocol/muc#user'>$c</x>"),
    ("the same element twice", f"{_SIGNAL}<active xmlns='{CHAT_STATES}' x='$c'/>"),
)

# What is allowed as far as its kind goes, so that it is no more than a signal; the canary is in what is not copied.
SIGNALS = (
    ("namespace declared on a chat state", f"<active xmlns='{CHAT_STATES}' xmlns:q='urn:$n'/>"),
    ("prefix of a chat state", f"<$n:active xmlns:$n='{CHAT_STATES}'/>"),
    ("namespace declared on a hint", "<store xmlns='urn:xmpp:hints' xmlns:q='$c'></store>"),
    ("origin id", "<origin-id xmlns='urn:xmpp:sid:0' id='$c'/>"),
    ("prefix declared on a request for a receipt", "<request xmlns='urn:xmpp:receipts' xmlns:$n='urn:q'/>"),
)

# Elements that look like the ciphertext of a client, and are not; beside a body.
_NO_CIPHERTEXT = (
    ("legacy OMEMO", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"),
    ("OMEMO", "<encrypted xmlns='urn:xmpp:omemo:2'/>"),
    ("OX", "<openpgp xmlns='urn:xmpp:openpgp:0'/>"),
    ("OX with text", "<openpgp xmlns='urn:xmpp:openpgp:0'>$c</openpgp>"),
    ("XEP-0027", "<x xmlns='jabber:x:encrypted'/>"),
    ("XEP-0027 with text", "<x xmlns='jabber:x:encrypted'>$c</x>"),
    ("miller-e2e", "<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e:6' type='enc' id='0123456789abcdef'/>"),
    ("RFC 3923", "<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'/>"),
    (
        "legacy OMEMO without a key",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><iv>$c</iv></header><payload>$c</payload></encrypted>",
    ),
    (
        "legacy OMEMO with text in the header",
        (
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='1'>AAAA</key><iv>AAAA</iv>"
            "<note>$c</note></header></encrypted>"
        ),
    ),
    (
        "OMEMO with an attribute",
        (
            "<encrypted xmlns='urn:xmpp:omemo:2' note='$c'><header sid='1'><keys jid='$peer'><key rid='1'>AAAA</key></keys>"
            "</header></encrypted>"
        ),
    ),
)
_OTR_LOOKALIKES = (
    ("sentence that begins with ?OTR", "?OTR is what I mean: $c"),
    ("sentence behind an OTR query", "?OTRv23? $c"),
    ("sentence behind an old OTR query", "?OTR? $c"),
    ("sentence behind an OTR error", "?OTR Error: $c"),
    ("sentence in an OTR data message", "?OTR:$c."),
    ("OTR data message that is only a word", "?OTR:AAMD$c."),
    ("sentence behind an OTR data message", "?OTR:AAEC. $c"),
    ("sentence in an OTR fragment", "?OTR,1,2,$c,"),
    ("sentence in a tagged OTR fragment", "?OTR|5a73a599|27e31597,1,2,$c,"),
    ("OTR fragment with a word", "?OTR,1,2,?OTR:AAMD$c,"),
    ("last OTR fragment with a word", "?OTR,2,2,$c.,"),
    ("OTR whitespace tag", "$c &#9;  &#9;&#9;&#9;&#9; &#9; &#9; &#9;    &#9;&#9;  &#9; "),
)

_COMMAND_LINES = (
    ("argument of a command", "/e2e status $c"),
    ("unknown command", "/e2e $c"),
    ("remark in a command", "/e2e fingerprint # $c"),
    ("second line of a command", "/e2e help\n$c"),
    ("command in capitals", "/E2E\t$c"),
    ("command behind blanks", "\n /e2e $c"),
)


def _bodies():
    yield Place(name="body", kind=Kind.CHAT, template=_chat("<body>$c</body>"))
    yield Place(name="body without a type", kind=Kind.CHAT, template=_chat("<body>$c</body>", kind=""))
    for what in ("normal", "headline"):
        template = _chat("<body>$c</body>", kind=f"type='{what}'")
        yield Place(name=f"body of a {what} message", kind=Kind.CHAT, template=template)
    for name, content in (
        ("body in CDATA", "<body><![CDATA[$c]]></body>"),
        ("second body", "<body>$beside</body><body xml:lang='de'>$c</body>"),
        ("language of a body", "<body xml:lang='x-$n'>$beside</body>"),
        ("attribute of a body", "<body note='$c'>$beside</body>"),
        ("child of a body", "<body>$beside<b>$c</b></body>"),
        ("namespace declared on a body", "<body xmlns:q='urn:$n'>$beside</body>"),
        ("body with a prefix", "<$n:body xmlns:$n='jabber:client'>$beside</$n:body>"),
        ("text beside a body", "$c<body>$beside</body>"),
        ("text behind a body", "<body>$beside</body>\n$c"),
    ):
        yield Place(name=name, kind=Kind.CHAT, template=_chat(content))
    for name, content in (
        ("body in another namespace", "<body xmlns='urn:example:unknown'>$c</body>"),
        ("text of a message without children", "$c"),
        ("text beside a chat state", f"$c{_SIGNAL}"),
        ("text between two allowed children", f"{_SIGNAL} $c <store xmlns='urn:xmpp:hints'/>"),
        ("CDATA beside a chat state", f"{_SIGNAL}<![CDATA[$n]]>"),
    ):
        yield Place(name=name, kind=Kind.BODYLESS, template=_chat(content))


def _children():
    for name, child in CHILDREN:
        yield Place(name=name, kind=Kind.BODYLESS, template=_chat(child))
        yield Place(
            name=f"{name} beside a body", kind=Kind.CHAT, template=_chat(f"<body>$beside</body>{child}")
        )
        yield Place(name=f"{name} beside a chat state", kind=Kind.BODYLESS, template=_chat(_SIGNAL + child))
    for name, child in SIGNALS:
        yield Place(name=name, kind=Kind.SIGNAL, template=_chat(child))
        yield Place(
            name=f"{name} beside a body", kind=Kind.CHAT, template=_chat(f"<body>$beside</body>{child}")
        )


def _lookalikes():
    for name, child in _NO_CIPHERTEXT:
        yield Place(
            name=f"body beside {name} that is none",
            kind=Kind.CHAT,
            template=_chat(f"<body>$c</body>{child}"),
        )
        if "$c" in child:
            yield Place(name=f"{name} that is none", kind=Kind.BODYLESS, template=_chat(child))
    for name, body in _OTR_LOOKALIKES:
        yield Place(name=name, kind=Kind.CHAT, template=_chat(f"<body>{body}</body>"))
    # Its payload would be ciphertext if the client said the truth: it does not, and nobody can tell.
    forged = (
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='1'>AAAA</key><iv>AAAA</iv></header>"
        "<payload>$c</payload></encrypted>"
    )
    yield Place(
        name="text in base64 that the client calls ciphertext",
        kind=Kind.ENCRYPTED,
        template=_chat(forged),
        beyond="what a client encrypted cannot be told from what it only encoded",
    )
    complete = (
        "<encrypted xmlns='eu.siacs.conversations.axolotl'{0}><header sid='1'><key rid='1'>AAAA</key><iv>AAAA</iv></header>"
        "<payload>AAAA</payload></encrypted>"
    )
    for name, content in (
        ("body beside ciphertext", f"{complete.format('')}<body>$c</body>"),
        ("subject beside ciphertext", f"{complete.format('')}<subject>$c</subject>"),
        ("nick beside ciphertext", f"{complete.format('')}<nick xmlns='http://jabber.org/protocol/nick'>$c</nick>"),
        (
            "real-time text beside ciphertext",
            f"{complete.format('')}<rtt xmlns='urn:xmpp:rtt:0' seq='1'><t>$c</t></rtt>",
        ),
        ("attachment beside ciphertext", f"{complete.format('')}<x xmlns='jabber:x:oob'><url>$c</url></x>"),
        ("name of the encryption beside ciphertext", (f"{complete.format('')}<encryption xmlns='urn:xmpp:eme:0' "
         "namespace='eu.siacs.conversations.axolotl' name='$c'/>")),
        ("namespace declared on ciphertext", complete.format(" xmlns:q='urn:$n'")),
    ):  # fmt: skip
        yield Place(name=name, kind=Kind.ENCRYPTED, template=_chat(content))


def _addressed():
    body = "<body>$c</body>"
    for name, to in (
        ("to oneself", "to='$me'"),
        ("to one's own full JID", "to='$own'"),
        ("to another resource of one's own", "to='$me/orchard'"),
        ("without an address", ""),
    ):
        yield Place(name=f"message {name}", kind=Kind.SELF, template=_chat(body, to=to))
        yield Place(
            name=f"subject {name}", kind=Kind.BODYLESS, template=_chat("<subject>$c</subject>", to=to)
        )
    for number, to in enumerate(("$peer/balcony", "$peer./balcony"), 1):
        yield Place(
            name=f"body to the contact spelled otherwise ({number})",
            kind=Kind.CHAT,
            template=_chat(body, to=f"to='{to}'"),
        )
    yield Place(
        name="body to a stranger", kind=Kind.CHAT, template=_chat(body, to="to='tybalt@elsewhere.test'")
    )
    yield Place(name="body to a server", kind=Kind.CHAT, template=_chat(body, to="to='$server'"))
    yield Place(name="body to what is no JID", kind=Kind.BAD_ADDRESS, template=_chat(body, to="to='@@'"))
    yield Place(
        name="address that is no JID", kind=Kind.BAD_ADDRESS, template=_chat(_SIGNAL, to="to='$n@@/'")
    )
    yield Place(
        name="resource of the contact",
        kind=Kind.SIGNAL,
        template=_chat(_SIGNAL, to="to='$peer/$n'"),
        beyond="the server has to read whom a stanza is for",
    )
    yield Place(
        name="contact's name",
        kind=Kind.SIGNAL,
        template=_chat(_SIGNAL, to="to='$n@$server'"),
        beyond="the server has to read whom a stanza is for",
    )
    addresses = "<addresses xmlns='http://jabber.org/protocol/address'>{}</addresses>"
    to_contact = addresses.format("<address type='to' jid='$peer' desc='$c'/>")
    for name, content, to in (
        ("body with XEP-0033 addresses", addresses.format("<address type='to' jid='$peer'/>") + body, "to='$server'"),
        ("description of a XEP-0033 address", to_contact + "<body>$beside</body>", "to='multicast.$server'"),
        ("body to the contact with XEP-0033 addresses", addresses.format("<address type='replyto' uri='$c'/>") + body,
         "to='$to'"),
        ("subject with XEP-0033 addresses", addresses.format("") + "<subject>$c</subject>", "to='$to'"),
        ("node of a XEP-0033 address", addresses.format("<address type='to' jid='$peer' node='$c'/>"), "to='$to'"),
    ):  # fmt: skip
        yield Place(name=name, kind=Kind.MULTICAST, template=_chat(content, to=to))


def _to_the_proxy():
    for name, line in _COMMAND_LINES:
        yield Place(name=name, kind=Kind.PROXY, template=_chat(f"<body>{line}</body>"))
    body = "<body>/e2e status $c</body>"
    for name, content, to, kind in (
        ("command to oneself", body, "to='$me'", "type='chat'"),
        ("command without an address", body, "", "type='chat'"),
        ("command to a room", body, "to='$room'", "type='groupchat'"),
        ("command of a headline", body, "to='$to'", "type='headline'"),
        ("child beside a command", "<body>/e2e help</body><subject>$c</subject>", "to='$to'", "type='chat'"),
        (
            "second body beside a command",
            "<body>/e2e help</body><body xml:lang='de'>$c</body>",
            "to='$to'",
            "",
        ),
        ("body to the proxy", "<body>$c</body>", "to='e2eproxy.localhost'", "type='chat'"),
        ("body to a name at the proxy", "<body>/e2e $c</body>", "to='E2Eproxy.localhost'", "type='chat'"),
        ("subject to the proxy", "<subject>$c</subject>", "to='e2eproxy.localhost'", ""),
    ):
        yield Place(name=name, kind=Kind.PROXY, template=_chat(content, to=to, kind=kind))


def _rooms():
    group = {"to": "to='$room'", "kind": "type='groupchat'"}
    for name, content in (
        ("message to a room", "<body>$c</body>"),
        ("subject of a room", "<subject>$c</subject>"),
        (
            "text to a room with a hint",
            "<body>$beside</body><subject>$c</subject><store xmlns='urn:xmpp:hints'/>",
        ),
        ("signal to a room", f"<active xmlns='{CHAT_STATES}'>$c</active>"),
    ):
        yield Place(name=name, kind=Kind.GROUP_CHAT, template=_chat(content, **group))
    yield Place(
        name="groupchat message to the contact",
        kind=Kind.GROUP_CHAT,
        template=_chat("<body>$c</body>", kind="type='groupchat'"),
    )
    for name, content in (
        ("private message in a room", "<body>$c</body>"),
        (
            "marked private message in a room",
            "<body>$c</body><x xmlns='http://jabber.org/protocol/muc#user'/>",
        ),
        ("subject of a private message in a room", "<subject>$c</subject>"),
    ):
        yield Place(name=name, kind=Kind.MUC_PRIVATE, template=_chat(content, to="to='$room/nurse'"))
    user = "<x xmlns='http://jabber.org/protocol/muc#user'>{}</x>"
    form = "<x xmlns='jabber:x:data' type='submit'><field var='muc#role'><value>$c</value></field></x>"
    for name, content, to in (
        ("reason of a mediated invitation", user.format("<invite to='$peer'><reason>$c</reason></invite>"), "to='$room'"),
        ("reason of a declined invitation", user.format("<decline to='$peer'><reason>$c</reason></decline>"), "to='$room'"),
        ("mediated invitation to what is no room", user.format("<invite to='$c'/>") + "<body>$c</body>", "to='$to'"),
        ("request for voice", form, "to='$room'"),
        ("message to a room without its type", "<body>$c</body>", "to='$room'"),
    ):  # fmt: skip
        yield Place(name=name, kind=Kind.ROOM_REQUEST, template=_chat(content, to=to, kind=""))


def _past_methods():
    for name, child in (
        (
            "call in a message",
            "<propose xmlns='urn:xmpp:jingle-message:0' id='$c'><description>$c</description></propose>",
        ),
        ("call invitation", "<invite xmlns='urn:xmpp:call-invites:0' id='$c'><jingle sid='$c'/></invite>"),
        (
            "in-band bytes in a message",
            "<data xmlns='http://jabber.org/protocol/ibb' sid='$c' seq='0'>$c</data>",
        ),
        ("small picture in a message", "<data xmlns='urn:xmpp:bob' cid='$c' type='text/plain'>$c</data>"),
    ):
        yield Place(name=name, kind=Kind.TRANSFER, template=_chat(child))
        yield Place(
            name=f"{name} beside a body", kind=Kind.TRANSFER, template=_chat(f"<body>$c</body>{child}")
        )


def _errors():
    condition = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    error = f"<error type='cancel'>{condition}</error>"
    text = "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='x-$n'>$c</text>"
    for name, content in (
        ("error that echoes a body", f"<body>$c</body>{error}"),
        ("text of an error", f"<error type='cancel'>{condition}{text}</error>"),
        ("attribute of an error", f"<error type='$c' by='$c'>{condition}</error>"),
        (
            "place that an error names",
            "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:$n</gone></error>",
        ),
        (
            "application's condition of an error",
            f"<error type='cancel'>{condition}<$n xmlns='urn:$n'/></error>",
        ),
        ("second error", f"{error}<error type='wait'>$c</error>"),
        ("error that is none", "<body>$c</body>"),
        ("command as an error", f"<body>/e2e status $c</body>{error}"),
        ("ciphertext in an error", f"<encrypted xmlns='urn:xmpp:omemo:2'>$c</encrypted>{error}"),
    ):
        yield Place(name=name, kind=Kind.ERROR, template=_chat(content, kind="type='error'"))
    yield Place(
        name="id of an error",
        kind=Kind.ERROR,
        template=f"<message to='$$to' type='error' id='$$c'>{error}</message>".replace("$$", "$"),
    )


def places() -> list[Place]:
    """Every place in a message."""
    groups = (
        _bodies,
        _children,
        _lookalikes,
        _addressed,
        _to_the_proxy,
        _rooms,
        _past_methods,
        _errors,
    )
    return [place for group in groups for place in group()]
