"""A mail server for the tests (aiosmtpd, as Debian has it).

    smtp.py tls|starttls|plain CERTIFICATE KEY

It says its port in the first line of its standard output, and then in one JSON object a line what it was given: each message,
each recipient that it refused, each command with which somebody would log in without TLS. It ends when its standard input does.
"""
import asyncio
import base64
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def tell(**what):
    print(json.dumps(what), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address.startswith("nobody@"):
            tell(refused=address)
            return "550 5.1.1 there is nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        login = session.auth_data.login.decode() if session.authenticated else None
        secure = server.transport.get_extra_info("ssl_object") is not None
        content = base64.b64encode(envelope.original_content).decode()
        tell(sender=envelope.mail_from, recipients=envelope.rcpt_tos, login=login, secure=secure, content=content)
        return "250 OK"


def login(server, session, envelope, mechanism, auth_data):
    is_right = auth_data.login == b"gate" and auth_data.password == b"mail-canary"
    return AuthResult(success=is_right, handled=False, auth_data=auth_data)


class Watched(SMTP):
    async def smtp_AUTH(self, arg):
        if self.transport.get_extra_info("ssl_object") is None:
            tell(exposed=arg)
        return await super().smtp_AUTH(arg)


async def main():
    manner, certificate, key = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def protocol():
        starttls = manner == "starttls"
        return Watched(
            Handler(),
            tls_context=context if starttls else None,
            require_starttls=starttls,
            # TLS from the first byte is not known to the library, and is there all the same; "plain" would take a password.
            auth_require_tls=starttls,
            authenticator=login,
            hostname="smtp.test",
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=context if manner == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
