"""llama.cpp's own server (OpenAI dialect), from the xllamacpp wheel: serve.py MODEL.gguf PORT"""
import sys
import time

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = int(sys.argv[2])
params.n_parallel = 8
params.n_ctx = 8 * 512
params.cpuparams.n_threads = 1  # more threads are slower on a shared machine
params.cpuparams_batch.n_threads = 1
params.warmup = False
params.cont_batching = True
params.endpoint_metrics = True
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while True:
    time.sleep(60)
