"""The wire: framing, stream errors, finding and reaching a server; knows no encryption of messages."""
