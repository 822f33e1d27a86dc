"""As much of Google Cloud Storage's JSON API as is asked for, with its ways of refusing and of saying so."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs

from tests.cli.loopback import Answer, Asked, Service, as_json

WHO = "derain@rain.iam.gserviceaccount.com"
TOKEN = "ya29.never-to-be-seen"
UPLOAD_ID = "AHmUCY2never-to-be-seen"
PAGE = 2  # names in a page of a listing, so that there are always several


@dataclass
class Stored:
    """An object: its bytes, the resource that describes it."""

    data: bytes
    resource: dict[str, Any]


@dataclass
class Bucket:
    """Objects by name. Without a token a public one is read, and nothing else; a denied one is for nobody."""

    public: bool = False
    denied: bool = False
    objects: dict[str, Stored] = field(default_factory=dict)


class Storage(Service):
    """Buckets that one service account may read and write."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        super().__init__()
        self.buckets = {"rain": Bucket(), "public": Bucket(public=True), "denied": Bucket(denied=True)}
        self.uploads: dict[str, tuple[Asked, bytearray]] = {}
        self.clock = 0
        self.forgetful = False  # of uploads in parts that it has begun
        self.key = rsa.generate_private_key(65537, 2048)

    def account(self) -> str:
        """Return the file of a service account that this service knows, as JSON."""
        from cryptography.hazmat.primitives import serialization

        kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        words = {
            "type": "service_account",
            "project_id": "rain",
            "private_key": self.key.private_bytes(*kind).decode(),
            "client_email": WHO,
            "token_uri": f"{self.url}/token",
        }
        return json.dumps(words)

    def put(self, bucket: str, name: str, data: bytes, metadata: dict[str, str] | None = None) -> Answer:
        """Store an object under a new generation, and a new time."""
        self.clock += 1
        when = datetime.fromtimestamp(1_790_000_000 + self.clock, timezone.utc)
        resource: dict[str, Any] = {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "generation": str(self.clock),
            "size": str(len(data)),
            "updated": f"{when:%Y-%m-%dT%H:%M:%S}.123Z",
            "timeCreated": f"{when:%Y-%m-%dT%H:%M:%S}.123Z",
        }
        if metadata:
            resource["metadata"] = metadata
        self.buckets[bucket].objects[name] = Stored(data, resource)
        return as_json(resource)

    def names(self, bucket: str, prefix: str) -> list[str]:
        """Return the names of objects below a prefix, without it."""
        names = self.buckets[bucket].objects
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def answer(self, asked: Asked) -> Answer:
        """See `Service`."""
        if asked.parts == ["token"]:
            return self._token(asked)
        path = re.fullmatch(r"/((?:upload|download)/)?storage/v1/b/([^/]+)(/o(?:/([^/]+))?)?", asked.path)
        if path is None:
            return refuse(404, "Not Found")
        upload, name = path[1] == "upload/", asked.parts[-1] if path[4] else None
        bucket = self.buckets.get(path[2])
        if "upload_id" in asked.query:
            return self._go_on(path[2], asked)
        may = "buckets.get" if not path[3] else "objects.create" if upload else "objects.list"
        may = "objects.get" if name else may
        if refusal := self._refusal(bucket, may, asked):
            return refusal
        if bucket is None:
            return refuse(404, "The specified bucket does not exist.")
        if not path[3]:
            return as_json({"kind": "storage#bucket", "name": path[2]})
        if upload:
            return self._upload(path[2], asked)
        if name is None:
            return listing(bucket, asked.query)
        if name not in bucket.objects:
            return refuse(404, f"No such object: {path[2]}/{name}")
        found = bucket.objects[name]
        if asked.query.get("alt") == "media":
            return Answer(200, found.data, {"Content-Type": "application/octet-stream"}, ranges=True)
        return as_json(found.resource)

    def _refusal(self, bucket: Bucket | None, may: str, asked: Asked) -> Answer | None:
        who = asked.headers.get("Authorization")
        about = f"storage.{may} access to the Google Cloud Storage bucket. Permission 'storage.{may}' denied "
        about += "on resource (or it may not exist)."
        if who is None and not (bucket and bucket.public and may in ("objects.get", "objects.list")):
            return refuse(401, f"Anonymous caller does not have {about}")
        if who not in (None, f"Bearer {TOKEN}"):
            return refuse(401, "Invalid Credentials")
        if bucket and bucket.denied:
            return refuse(403, f"{WHO} does not have {about}")
        return None

    def _token(self, asked: Asked) -> Answer:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.hashes import SHA256

        words = parse_qs(asked.body.decode())
        signed, _, signature = words["assertion"][0].rpartition(".")
        proof = base64.urlsafe_b64decode(signature + "==")
        try:
            self.key.public_key().verify(proof, signed.encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            said = "Invalid JWT Signature."
            return as_json({"error": "invalid_grant", "error_description": said}, 400)
        return as_json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def _upload(self, bucket: str, asked: Asked) -> Answer:
        if asked.query["uploadType"] == "resumable":
            words = json.loads(asked.body)
            if refusal := self._taken(bucket, words["name"], asked):
                return refusal
            self.uploads[UPLOAD_ID] = (asked, bytearray())
            place = f"{self.url}{asked.path}?uploadType=resumable&upload_id={UPLOAD_ID}"
            return Answer(200, headers={"Location": place})
        boundary = re.search('boundary="?([^"]+)', asked.headers["Content-Type"])
        assert boundary
        line = b"--" + boundary[1].encode()
        end = (
            b"\r\n" if asked.body.startswith(line + b"\r\n") else b"\n"
        )  # as its own client, and as gcsfs do
        _, about, rest = asked.body.split(line, 2)
        words = json.loads(about.split(end + end, 1)[1])
        data = rest.split(end + end, 1)[1].rpartition(end + line + b"--")[0]
        return self._taken(bucket, words["name"], asked) or self.put(
            bucket, words["name"], data, words.get("metadata")
        )

    def _go_on(self, bucket: str, asked: Asked) -> Answer:
        if asked.method == "DELETE":
            return Answer(499)
        if self.forgetful:
            return refuse(403, f"{asked.path}?upload_id={asked.query['upload_id']} is not yours.")
        begun, data = self.uploads[asked.query["upload_id"]]
        first, last, size = map(int, re.findall(r"\d+", asked.headers["Content-Range"]))
        assert (first, last + 1 - first) == (len(data), len(asked.body))
        data += asked.body
        if len(data) < size:
            return Answer(308, headers={"Range": f"bytes=0-{last}"})
        words = json.loads(begun.body)
        return self._taken(bucket, words["name"], begun) or self.put(
            bucket, words["name"], bytes(data), words.get("metadata")
        )

    def _taken(self, bucket: str, name: str, asked: Asked) -> Answer | None:
        if asked.query.get("ifGenerationMatch") == "0" and name in self.buckets[bucket].objects:
            return refuse(412, "At least one of the pre-conditions you specified did not hold.")
        return None


def listing(bucket: Bucket, query: dict[str, str]) -> Answer:
    """Return a page of the names below a prefix; what lies behind the next delimiter is one name."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    whole: dict[str, dict[str, Any] | None] = {}
    for name in sorted(bucket.objects):
        rest = name.removeprefix(prefix)
        if not name.startswith(prefix):
            continue
        if delimiter and delimiter in rest:
            whole[prefix + rest.partition(delimiter)[0] + delimiter] = None
        else:
            whole[name] = bucket.objects[name].resource
    begin = int(query.get("pageToken", "0"))
    end = begin + min(PAGE, int(query.get("maxResults", PAGE)))
    page = list(whole.items())[begin:end]
    answer: dict[str, Any] = {"kind": "storage#objects"}
    answer["items"] = [resource for _, resource in page if resource]
    answer["prefixes"] = [name for name, resource in page if not resource]
    if end < len(whole):
        answer["nextPageToken"] = str(end)
    return as_json({key: value for key, value in answer.items() if value})


def refuse(status: int, message: str) -> Answer:
    """Return a refusal as the service words it."""
    return as_json({"error": {"code": status, "message": message, "errors": [{"message": message}]}}, status)
