# Training image: CUDA for the GPU's driver, PyTorch's own CUDA libraries from its wheel, no ROS. Runs `astra train …` and `astra eval …`.
ARG BASE=nvidia/cuda:12.9.1-base-ubuntu24.04
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics MUJOCO_GL=egl

RUN apt-get update && apt-get install -y --no-install-recommends \
      python3 python3-venv python3-pip build-essential libegl1 libgl1 libglvnd0 libusb-1.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/astra_src
COPY requirements.txt pyproject.toml package.xml README.md ./
COPY requirements ./requirements
RUN python3 -m venv /opt/astra \
    && /opt/astra/bin/pip install --no-cache-dir -r requirements.txt \
    && /opt/astra/bin/pip install --no-cache-dir --no-deps -r requirements/no-deps.txt
COPY src ./src
COPY config ./config
COPY models ./models
RUN /opt/astra/bin/pip install --no-cache-dir --no-deps -e .

RUN useradd --create-home --shell /bin/bash --uid 10001 trainer \
    && install --directory --owner=trainer --group=trainer /cache /out
USER 10001:10001
WORKDIR /home/trainer
ENV ASTRA_CACHE=/cache PATH=/opt/astra/bin:$PATH
# A training has no pulse of its own: healthy is a container whose GPU answers PyTorch.
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s CMD ["python", "-c", "import torch; assert torch.cuda.is_available()"]
ENTRYPOINT ["astra"]
CMD ["train", "--help"]
