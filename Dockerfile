# The leaderboard in the browser; docs/hosting.md says how to run it. The database is mounted at /data, read-only if you like.
FROM python:3.12-slim

RUN useradd --uid 10001 --create-home bench
WORKDIR /app

# The CPU build of torch first: a bare `torch` would bring several gigabytes of CUDA libraries.
RUN pip install --no-cache-dir "torch>=2.6" --index-url https://download.pytorch.org/whl/cpu
COPY . .
RUN pip install --no-cache-dir --editable ".[app,tune,postgres]"

ENV BENCH_DB=/data/leaderboard.sqlite \
    BENCH_CACHE_DIR=/tmp/bench \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1
USER bench
EXPOSE 8501
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
CMD ["python", "-m", "bench", "app", "--host", "0.0.0.0", "--port", "8501"]
