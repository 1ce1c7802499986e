"""An OpenID provider on Authlib, as a second reading of the standards: RS256 alone, no PKCE in its metadata, no `iss` in its
answers, no groups scope, e-mail and groups in userinfo.

It listens on a free port of 127.0.0.1, prints one JSON line, `{"url", "port"}`, and ends with its standard input. People are
given in PEOPLE: a JSON list of claims, each with `sub`.
"""

import json
import os
import sys
import threading

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import oidc_provider_mock  # noqa: E402
import werkzeug.serving  # noqa: E402


class Quiet(werkzeug.serving.WSGIRequestHandler):
    def log(self, *_):
        pass


people = [oidc_provider_mock.User(sub=claims.pop("sub"), claims=claims) for claims in json.loads(os.environ["PEOPLE"])]
server = werkzeug.serving.make_server(
    "127.0.0.1", 0, oidc_provider_mock.app(user_claims=people), threaded=True, request_handler=Quiet
)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}", "port": server.server_port}), flush=True)
sys.stdin.read()
os._exit(0)
