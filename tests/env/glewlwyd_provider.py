"""Glewlwyd, an OpenID provider written in C, as a third reading of the standards: its issuer has a path, it signs with PS256,
states groups and e-mail in the ID token, and has no end of a session that a client could ask for.

It runs on a fresh SQLite database in a folder of its own, listens on a free port of 127.0.0.1, prints one JSON line,
`{"url", "port"}`, and ends with its standard input. ROOT is where its packages lie: unpacked by tests/run, or `/`. GATEWAY is
the address of its one client. People are given in PEOPLE: a JSON list of claims; the password of `sub` is `password-of-SUB`.
"""

import ctypes
import glob
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT = os.environ["ROOT"].rstrip("/")
GATEWAY = os.environ["GATEWAY"]
SECRET = "a-secret-that-only-tests-know"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_database(path):
    database = sqlite3.connect(path)
    with open(f"{ROOT}/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3", encoding="utf-8") as script:
        database.executescript(script.read())
    # Two more properties of people, beside those that the package's script lists.
    (text,) = database.execute("SELECT gumi_parameters FROM g_user_module_instance").fetchone()
    parameters = json.loads(text)
    for name, multiple in (("groups", True), ("email_verified", False)):
        parameters["data-format"][name] = {"multiple": multiple, "read": True, "write": True}
    database.execute("UPDATE g_user_module_instance SET gumi_parameters = ?", (json.dumps(parameters),))
    database.commit()
    database.close()


def configuration(folder, port):
    modules = f"{ROOT}/usr/lib/glewlwyd"
    return f"""
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
static_files_path="{ROOT}/usr/share/glewlwyd/webapp/"
log_mode="file"
log_level="WARNING"
log_file="{folder}/log"
cookie_domain="127.0.0.1"
cookie_secure=0
session_expiration=3600
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
user_middleware_module_path="{folder}"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{folder}/glewlwyd.db"; }};
"""


def end_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def start(folder, port):
    with open(f"{folder}/glewlwyd.conf", "w", encoding="utf-8") as file:
        file.write(configuration(folder, port))
    libraries = ":".join(glob.glob(f"{ROOT}/usr/lib/*-linux-gnu"))
    environment = os.environ | {"LD_LIBRARY_PATH": libraries} if ROOT else os.environ
    command = [f"{ROOT}/usr/bin/glewlwyd", "-c", f"{folder}/glewlwyd.conf"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, preexec_fn=end_with_us)


class Admin:
    def __init__(self, port):
        self.port = port
        self.cookie = None

    def call(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        fields = {"Content-Type": "application/json"} | ({"Cookie": self.cookie} if self.cookie else {})
        connection.request(method, path, json.dumps(body), fields)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {text}")
        return answer

    def sign_in(self):
        # The first words of the package's script; the database is minutes old and ours alone.
        answer = self.call("POST", "/api/auth/", {"username": "admin", "password": "password"})
        self.cookie = answer.getheader("Set-Cookie").split(";")[0]


def provider(url):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )
    claims = [
        {"name": "groups", "user-property": "groups", "type": "string", "mandatory": True},
        {
            "name": "email_verified",
            "user-property": "email_verified",
            "type": "boolean",
            "boolean-value-true": "yes",
            "boolean-value-false": "no",
            "mandatory": True,
        },
    ]
    switches = {name: False for name in ("token", "id-token", "none", "password", "client", "device")}
    parameters = {f"auth-type-{name}-enabled": value for name, value in (switches | {"code": True, "refresh": True}).items()}
    parameters |= {
        "iss": f"{url}/api/oidc",
        "jwt-type": "rsa-pss",
        "jwt-key-size": "256",
        "key": private,
        "cert": public,
        "access-token-duration": 3600,
        "refresh-token-duration": 3600,
        "code-duration": 60,
        "refresh-token-rolling": True,
        "allowed-scope": ["openid"],
        "scope": [],
        "additional-parameters": [],
        "claims": claims,
        "email-claim": "mandatory",
        "name-claim": "mandatory",
        "email-claim-scope": [],
        "name-claim-scope": [],
        "allow-non-oidc": False,
        "pkce-allowed": True,
        "pkce-method-plain-allowed": False,
        "introspection-revocation-allowed": False,
        "register-client-allowed": False,
        "request-parameter-allow": False,
        "jwks-show": True,
        "subject-type": "public",
        "session-management-allowed": False,
        "encrypt-out-token-allow": False,
    }
    return {"module": "oidc", "name": "oidc", "display_name": "OpenID", "parameters": parameters}


def person(claims):
    return {
        "username": claims["sub"],
        "password": f"password-of-{claims['sub']}",
        "name": claims["name"],
        "email": claims["email"],
        "email_verified": "yes" if claims["email_verified"] else "no",
        "groups": [claims["groups"]] if isinstance(claims.get("groups"), str) else claims.get("groups", []),
        "enabled": True,
        "scope": ["openid"],
    }


def client():
    return {
        "client_id": "portcullis",
        "name": "Portcullis",
        "enabled": True,
        "confidential": True,
        "client_secret": SECRET,
        "password": SECRET,
        "redirect_uri": [f"{GATEWAY}/.portcullis/callback"],
        "authorization_type": ["code", "refresh_token"],
        "token_endpoint_auth_method": ["client_secret_basic"],
        "scope": ["openid"],
    }


def main():
    with tempfile.TemporaryDirectory(prefix="glewlwyd-") as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        make_database(f"{folder}/glewlwyd.db")
        child = start(folder, port)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.02)
        admin = Admin(port)
        admin.sign_in()
        admin.call("POST", "/api/mod/plugin/", provider(url))
        for claims in json.loads(os.environ["PEOPLE"]):
            admin.call("POST", "/api/user?source=database", person(claims))
        admin.call("POST", "/api/client", client())
        print(json.dumps({"url": f"{url}/api/oidc", "port": port}), flush=True)
        sys.stdin.read()
        child.terminate()
        child.wait()


main()
