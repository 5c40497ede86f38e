"""Landmark schemes: which point is what, and who is whose mirror image.

No other file knows an index. Left is the person's left, so it is on the right of the picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["REGIONS", "SCHEMES", "Scheme", "scheme_named", "scheme_of_size"]

REGIONS = (
    "left_eye",
    "right_eye",
    "left_upper_lid",
    "right_upper_lid",
    "left_lower_lid",
    "right_lower_lid",
    "left_brow",
    "right_brow",
    "left_iris",
    "right_iris",
    "nose",
    "mouth",
    "inner_mouth",
    "face_oval",
    "jaw",
    "rigid",
)
"""Region names; closed contours are in drawing order, irises begin with their centre, lids
run from the outer to the inner corner. "rigid" are the points that expressions hardly move: the
eyes' corners from the person's right to the left, then the nose's bridge, tip and base."""


@dataclass(frozen=True)
class Scheme:
    """A numbering of face points.

    Args:
        name: As in ``Landmarks.scheme``.
        size: Number of points.
        regions: Region name -> indices.
        mirror: For each point, the index of its mirror image.
    """

    name: str
    size: int
    regions: Mapping[str, tuple[int, ...]]
    mirror: tuple[int, ...]


def scheme_named(name: str) -> Scheme:
    """Return a scheme.

    Raises:
        ValueError: There is no such scheme; the message lists them.
    """
    if name not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}; got {name!r}.")
    return SCHEMES[name]


def scheme_of_size(count: int) -> Scheme:
    """Return the scheme that has so many points.

    Raises:
        ValueError: None has.
    """
    for scheme in SCHEMES.values():
        if scheme.size == count:
            return scheme
    known = ", ".join(f"{scheme.name} has {scheme.size}" for scheme in SCHEMES.values())
    raise ValueError(f"No landmark scheme has {count} points; {known}.")


def _mirror(size: int, pairs: str) -> tuple[int, ...]:
    """Read ``left:right`` pairs; points that are in none are their own mirror images."""
    table = list(range(size))
    for pair in pairs.split():
        first, second = map(int, pair.split(":"))
        table[first], table[second] = second, first
    return tuple(table)


def _indices(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


_IBUG68 = Scheme(
    name="ibug68",
    size=68,
    regions={
        "jaw": tuple(range(17)),
        "right_brow": tuple(range(17, 22)),
        "left_brow": tuple(range(22, 27)),
        "nose": tuple(range(27, 36)),
        "right_eye": tuple(range(36, 42)),
        "left_eye": tuple(range(42, 48)),
        "left_upper_lid": (45, 44, 43, 42),
        "right_upper_lid": (36, 37, 38, 39),
        "left_lower_lid": (45, 46, 47, 42),
        "right_lower_lid": (36, 41, 40, 39),
        "mouth": tuple(range(48, 60)),
        "inner_mouth": tuple(range(60, 68)),
        "rigid": (36, 39, 42, 45, 27, 30, 33),
    },
    mirror=_mirror(
        68,
        "0:16 1:15 2:14 3:13 4:12 5:11 6:10 7:9 17:26 18:25 19:24 20:23 21:22 31:35 32:34 36:45 "
        "37:44 38:43 39:42 40:47 41:46 48:54 49:53 50:52 55:59 56:58 60:64 61:63 65:67",
    ),
)

# Pairs computed from the mirror symmetry of MediaPipe's own canonical face mesh.
_MEDIAPIPE_PAIRS = """
3:248 7:249 20:250 21:251 22:252 23:253 24:254 25:255 26:256 27:257 28:258 29:259 30:260 31:261
32:262 33:263 34:264 35:265 36:266 37:267 38:268 39:269 40:270 41:271 42:272 43:273 44:274
45:275 46:276 47:277 48:278 49:279 50:280 51:281 52:282 53:283 54:284 55:285 56:286 57:287
58:288 59:289 60:290 61:291 62:292 63:293 64:294 65:295 66:296 67:297 68:298 69:299 70:300
71:301 72:302 73:303 74:304 75:305 76:306 77:307 78:308 79:309 80:310 81:311 82:312 83:313
84:314 85:315 86:316 87:317 88:318 89:319 90:320 91:321 92:322 93:323 95:324 96:325 97:326
98:327 99:328 100:329 101:330 102:331 103:332 104:333 105:334 106:335 107:336 108:337 109:338
110:339 111:340 112:341 113:342 114:343 115:344 116:345 117:346 118:347 119:348 120:349 121:350
122:351 123:352 124:353 125:354 126:355 127:356 128:357 129:358 130:359 131:360 132:361 133:362
134:363 135:364 136:365 137:366 138:367 139:368 140:369 141:370 142:371 143:372 144:373 145:374
146:375 147:376 148:377 149:378 150:379 153:380 154:381 155:382 156:383 157:384 158:385 159:386
160:387 161:388 162:389 163:390 165:391 166:392 167:393 169:394 170:395 171:396 172:397 173:398
174:399 176:400 177:401 178:402 179:403 180:404 181:405 182:406 183:407 184:408 185:409 186:410
187:411 188:412 189:413 190:414 191:415 192:416 193:417 194:418 196:419 198:420 201:421 202:422
203:423 204:424 205:425 206:426 207:427 208:428 209:429 210:430 211:431 212:432 213:433 214:434
215:435 216:436 217:437 218:438 219:439 220:440 221:441 222:442 223:443 224:444 225:445 226:446
227:447 228:448 229:449 230:450 231:451 232:452 233:453 234:454 235:455 236:456 237:457 238:458
239:459 240:460 241:461 242:462 243:463 244:464 245:465 246:466 247:467 468:473 469:476 470:475
471:474 472:477
"""

_MEDIAPIPE478 = Scheme(
    name="mediapipe478",
    size=478,
    regions={
        "left_eye": _indices("263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466"),
        "right_eye": _indices("33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246"),
        "left_upper_lid": _indices("263 466 388 387 386 385 384 398 362"),
        "right_upper_lid": _indices("33 246 161 160 159 158 157 173 133"),
        "left_lower_lid": _indices("263 249 390 373 374 380 381 382 362"),
        "right_lower_lid": _indices("33 7 163 144 145 153 154 155 133"),
        "left_brow": _indices("276 283 282 295 285 336 296 334 293 300"),
        "right_brow": _indices("46 53 52 65 55 107 66 105 63 70"),
        "left_iris": _indices("473 474 475 476 477"),
        "right_iris": _indices("468 469 470 471 472"),
        "nose": _indices("168 6 197 195 5 4 1 19 94 2 98 97 326 327"),
        "mouth": _indices("61 146 91 181 84 17 314 405 321 375 291 409 270 269 267 0 37 39 40 185"),
        "inner_mouth": _indices(
            "78 95 88 178 87 14 317 402 318 324 308 415 310 311 312 13 82 81 80 191"
        ),
        "face_oval": _indices(
            "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 "
            "152 148 176 149 150 136 172 58 132 93 234 127 162 21 54 103 67 109"
        ),
        "rigid": _indices("33 133 362 263 168 4 2"),
        "jaw": _indices("234 93 132 58 172 136 150 176 152 400 379 365 397 288 361 323 454"),
    },
    mirror=_mirror(478, _MEDIAPIPE_PAIRS),
)

SCHEMES: Mapping[str, Scheme] = {"ibug68": _IBUG68, "mediapipe478": _MEDIAPIPE478}
"""Every scheme by name: face-alignment's and MediaPipe's."""

MEDIAPIPE_TO_IBUG68 = _indices(
    "127 234 93 58 172 136 149 148 152 377 378 365 397 288 323 454 356 "
    "70 63 105 66 107 336 296 334 293 300 168 197 5 4 98 97 2 326 327 "
    "33 160 158 133 153 144 362 385 387 263 373 380 "
    "61 39 37 0 267 269 291 405 314 17 84 181 78 82 13 312 308 317 14 87"
)
"""MediaPipe's nearest point to each of the 68."""
