"""A filter on your webcam: python examples/webcam.py [FILTER]; q ends it."""

import sys
import time

import cv2

import snowai
from snowai.video import FrameFilter

camera = cv2.VideoCapture(0)
path = FrameFilter(snowai.FaceFilter.from_pretrained((*sys.argv[1:], "toon")[0]))
while (read := camera.read())[0]:
    frame = cv2.cvtColor(cv2.flip(read[1], 1), cv2.COLOR_BGR2RGB)
    filtered = path(frame, time.monotonic())
    cv2.imshow("snowai", cv2.cvtColor(filtered, cv2.COLOR_RGB2BGR))
    if cv2.waitKey(1) == ord("q"):
        break
