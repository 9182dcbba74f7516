"""What a decoding library may do to a decoder, planted there by tests as `sitecustomize`."""

FAULTS = """
import ctypes, os, sys, tempfile, time

def spin():
    while True:
        pass

def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

FAULTS = {
    b"ordinary": lambda: work(0.03),
    b"slow": lambda: work(0.2),
    b"crash": lambda: ctypes.string_at(0),
    b"abort": os.abort,
    b"exit": lambda: os._exit(3),
    b"spin": spin,
    b"sleep": lambda: time.sleep(60),
    b"swell": lambda: bytearray(2**30),
    b"defect": lambda: {}["secret"],
    b"write": lambda: tempfile.TemporaryFile(buffering=0).write(b"x"),
}

if any("service.embedding.decoder" in word for word in sys.orig_argv):
    from PIL import Image
    genuine = Image.open

    def open_image(file, *rest, **options):
        if file.getvalue() in FAULTS:
            FAULTS[file.getvalue()]()
        return genuine(file, *rest, **options)

    Image.open = open_image
"""
