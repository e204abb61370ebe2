"""The two examples of XEP-0390, section 4.5: answers of service discovery, and their hashes."""

from __future__ import annotations

SIMPLE = "<identity category='client' name='BombusMod' type='mobile'/>" + "".join(
    f"<feature var='{one}'/>"
    for one in (
        "http://jabber.org/protocol/si",
        "http://jabber.org/protocol/bytestreams",
        "http://jabber.org/protocol/chatstates",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "urn:xmpp:ping",
        "jabber:iq:time",
        "jabber:iq:privacy",
        "jabber:iq:version",
        "http://jabber.org/protocol/rosterx",
        "urn:xmpp:time",
        "jabber:x:oob",
        "http://jabber.org/protocol/ibb",
        "http://jabber.org/protocol/si/profile/file-transfer",
        "urn:xmpp:receipts",
        "jabber:iq:roster",
        "jabber:iq:last",
    )
)
SIMPLE_HASHES = {
    "sha-256": "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=",
    "sha3-256": "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=",
}
COMPLEX = (
    "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>"
    "<identity category='client' name='\u0422\u043a\u0430\u0431\u0431\u0435\u0440' type='pc' xml:lang='ru'/>"
    + "".join(
        f"<feature var='{one}'/>"
        for one in (
            "games:board",
            "http://jabber.org/protocol/activity",
            "http://jabber.org/protocol/activity+notify",
            "http://jabber.org/protocol/bytestreams",
            "http://jabber.org/protocol/chatstates",
            "http://jabber.org/protocol/commands",
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/disco#items",
            "http://jabber.org/protocol/evil",
            "http://jabber.org/protocol/feature-neg",
            "http://jabber.org/protocol/geoloc",
            "http://jabber.org/protocol/geoloc+notify",
            "http://jabber.org/protocol/ibb",
            "http://jabber.org/protocol/iqibb",
            "http://jabber.org/protocol/mood",
            "http://jabber.org/protocol/mood+notify",
            "http://jabber.org/protocol/rosterx",
            "http://jabber.org/protocol/si",
            "http://jabber.org/protocol/si/profile/file-transfer",
            "http://jabber.org/protocol/tune",
            "http://www.facebook.com/xmpp/messages",
            "http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify",
            "jabber:iq:avatar",
            "jabber:iq:browse",
            "jabber:iq:dtcp",
            "jabber:iq:filexfer",
            "jabber:iq:ibb",
            "jabber:iq:inband",
            "jabber:iq:jidlink",
            "jabber:iq:last",
            "jabber:iq:oob",
            "jabber:iq:privacy",
            "jabber:iq:roster",
            "jabber:iq:time",
            "jabber:iq:version",
            "jabber:x:data",
            "jabber:x:event",
            "jabber:x:oob",
            "urn:xmpp:avatar:metadata+notify",
            "urn:xmpp:ping",
            "urn:xmpp:receipts",
            "urn:xmpp:time",
        )
    )
    + "<x xmlns='jabber:x:data' type='result'>"
    "<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:dataforms:softwareinfo</value></field>"
    "<field var='software'><value>Tkabber</value></field>"
    "<field var='software_version'><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field>"
    "<field var='os'><value>Windows</value></field><field var='os_version'><value>XP</value></field></x>"
)
COMPLEX_HASHES = {
    "sha-256": "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=",
    "sha3-256": "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=",
}
