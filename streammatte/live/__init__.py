"""Camera in, virtual webcam out: what ``streammatte live`` is made of."""
