"""The faults of bench/recovery on Dask: a scheduler and its worker processes at their default settings, the same number of slots,
tasks that sleep for the same time. Told what to do by a JSON object as the only argument; prints one JSON object per run."""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time


def nap(index, milliseconds, journal):
    """Notes its start and its end by appending a line each: short appends are atomic."""
    with open(journal, 'a') as file:
        file.write(f'{index} {os.getpid()} start {time.time()}\n')
    time.sleep(milliseconds / 1000)
    with open(journal, 'a') as file:
        file.write(f'{index} {os.getpid()} end {time.time()}\n')
    return index


def read(journal):
    with open(journal) as file:
        return [(int(i), int(pid), what, float(at)) for i, pid, what, at in (line.split() for line in file)]


class Cluster:
    def __init__(self, workers, threads, folder):
        self.folder = folder
        self.threads = threads
        self.file = os.path.join(folder, 'scheduler.json')
        self.scheduler = self.start('dask-scheduler', '--port', '0', '--no-dashboard', '--scheduler-file', self.file)
        while not os.path.exists(self.file):
            time.sleep(0.05)
        self.workers = [self.worker() for _ in range(workers)]

    def start(self, *command):
        return subprocess.Popen(['/usr/bin/python3', f'/usr/bin/{command[0]}', *command[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
                                start_new_session=True)

    def worker(self):
        # Without a nanny: a machine that is gone starts nothing again.
        return self.start('dask-worker', '--scheduler-file', self.file, '--nthreads', str(self.threads), '--no-nanny', '--no-dashboard', '--local-directory', self.folder)

    def close(self):
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def run_pair(client, cluster, ask, random_source, load, index):
    journal = os.path.join(cluster.folder, f'journal-{index}')

    def submit(to):
        open(to, 'w').close()
        return client.map(nap, range(load['blocks']), milliseconds=load['blockMs'], journal=to, pure=False)

    began = time.time()
    client.gather(submit(f'{journal}-calm'))
    calm = time.time() - began

    futures = submit(journal)
    began = time.time()
    time.sleep(calm * (load['earliest'] + random_source.random() * (load['latest'] - load['earliest'])))
    lines = read(journal)
    ended = {i for i, _, what, _ in lines if what == 'end'}
    held = {pid: [i for i, by, what, _ in lines if by == pid and what == 'start' and i not in ended] for _, pid, _, _ in lines}
    holders = sorted(pid for pid in held if held[pid])
    if not holders:
        client.gather(futures)
        return None
    pid = holders[int(random_source.random() * len(holders))]
    address = next(a for a, p in client.run(os.getpid).items() if p == pid)
    struck = time.time()
    os.kill(pid, signal.SIGKILL if ask['fault'] == 'sigkill' else signal.SIGSTOP)
    detected = None
    while detected is None and time.time() - struck < ask['waitMs'] / 1000 and not all(future.done() for future in futures):
        if address not in client.scheduler_info()['workers']:
            detected = (time.time() - struck) * 1000
        else:
            time.sleep(0.005)
    if ask['fault'] != 'sigkill' and detected is None:
        # It would wait for minutes: enough is known.
        os.kill(pid, signal.SIGCONT)
    client.gather(futures)
    total = time.time() - began
    lines = read(journal)
    starts = [line for line in lines if line[2] == 'start']
    running = []
    for block in held[pid]:
        elsewhere = [at for i, by, _, at in starts if i == block and by != pid and at > struck]
        if elsewhere:
            running.append((min(elsewhere) - struck) * 1000)
    return {'detectedMs': detected, 'held': len(held[pid]), 'runningMs': running, 'calmMs': calm * 1000, 'struckMs': total * 1000,
            'blocks': load['blocks'], 'redone': len(starts) - load['blocks'], 'pid': pid}


def main():
    ask = json.loads(sys.argv[1])
    try:
        from distributed import Client
    except ImportError as error:
        print(json.dumps({'missing': str(error)}))
        return
    random_source = random.Random(ask['seed'])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(ask['workers'], ask['threads'], folder)
        try:
            with Client(scheduler_file=cluster.file) as client:
                for index in range(ask['runs']):
                    client.wait_for_workers(ask['workers'], timeout=60)
                    pair = run_pair(client, cluster, ask, random_source, ask['load'], index)
                    if pair is None:
                        continue
                    pid = pair.pop('pid')
                    print(json.dumps(pair), flush=True)
                    victim = next(process for process in cluster.workers if process.pid == pid)
                    if ask['fault'] == 'sigkill' or pair['detectedMs'] is not None:
                        victim.send_signal(signal.SIGCONT)
                        victim.kill()
                        victim.wait()
                        cluster.workers[cluster.workers.index(victim)] = cluster.worker()
        finally:
            cluster.close()


if __name__ == '__main__':
    main()
