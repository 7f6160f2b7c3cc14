# The bot with all that it needs but a GPU's driver, its models and its configuration.
# compose.yaml runs it; docs/operations.md says how.
FROM debian:trixie-slim

# With `compile` Triton needs a C compiler and Python's headers, and TorchInductor one for C++.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/atelier
COPY requirements.txt requirements.lock ./
RUN python3 -m venv .venv \
    && .venv/bin/pip install --no-cache-dir -r requirements.txt -c requirements.lock
COPY bot bot
COPY pipelines pipelines

# HOME is the owner's folder: downloads, compiled code and `hf auth login` are kept there. USER is
# what PyTorch names its caches after; the container runs as whoever owns that folder, without a name.
ENV PATH=/opt/atelier/.venv/bin:$PATH \
    PYTHONPATH=/opt/atelier \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/home/atelier \
    USER=atelier \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/atelier
USER 1000:1000
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
