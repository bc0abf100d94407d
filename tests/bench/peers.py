"""Readings per second beside PyTorch (MKL), ONNX Runtime and OpenVINO: same weights, same inputs, float32, on the CPU.

    python3 tests/bench/peers.py BUILD [--model vit|resnet|all] [--batch 1,8,32] [--threads 2] [--seconds 60] [--work DIR]

BUILD: a build folder with bin/stepcot and bin/tool_bench_peer. All run in turns, round by round, in one run of this
script, so that other load and clocks hit all alike; a peer that is not installed is left out and said so. First all
answers are compared (1e-4 of the largest), then timed: from normalised pixels in host memory to the logits of seven
steps there. Ratios come first: theirs / ours, the median over rounds of the two neighbours' times.

vit: CLIP ViT-B/32 and student, random weights of the oracle (tests/golden/oracle), imported by `stepcot model import`.
resnet: the default model in the program. Needs numpy and torch; onnxruntime, openvino and onnx where they are to run.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOUND = 1e-4
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's


def module_at(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], os.path.join(ROOT, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- the two models
def make_vit(build, work):
    """The model in PyTorch (normalised RGB in) and its package, from one seed."""
    import torch
    import torch.nn.functional as F
    oracle = module_at("tests/golden/oracle/stepcot_reference.py")

    def attend(self, x):  # the oracle spells attention out; PyTorch is faster with its fused one, so that is what runs
        b, t, w = x.shape
        q, k, v = (p(x).view(b, t, self.heads, w // self.heads).transpose(1, 2)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, w))

    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.clip, self.student = oracle.ClipVision(), oracle.Student()

        def forward(self, x):
            return torch.cat(self.student(self.clip(x)), 1)

    oracle.ClipAttention.forward = attend
    torch.manual_seed(7)
    model = Reader().eval()
    for p in model.parameters():
        p.data += 0.02 * torch.randn_like(p)
    package, clip, student = (os.path.join(work, name) for name in ("vit", "clip", "student"))
    if not os.path.exists(package):
        for folder in (clip, student):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)
        oracle.save_safetensors(clip + "/model.safetensors", model.clip.state_dict())
        vision = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                      image_size=224, patch_size=32, hidden_act="quick_gelu", projection_dim=512)
        json.dump(dict(model_type="clip", projection_dim=512, vision_config=vision), open(clip + "/config.json", "w"))
        oracle.save_safetensors(student + "/weights.safetensors",
                                {"student." + k: v for k, v in model.student.state_dict().items()})
        json.dump(dict(supervised_steps=list(range(1, 8)), split="none: random weights",
                       attribution="no data: random weights"), open(student + "/summary.json", "w"))
        subprocess.run([build + "/bin/stepcot", "model", "import", student, "--clip", clip, "-o", package], check=True,
                       stdout=subprocess.DEVNULL)
    return model, package


def make_resnet(_build, _work):
    import torch
    recipe = module_at("tests/golden/resnet18/generate.py")
    weights = recipe.as_torch(recipe.load(os.path.join(ROOT, "engine/default/weights.safetensors")))

    class Reader(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for k, v in weights.items():
                self.register_buffer(k.replace(".", "_"), v)

        def forward(self, x):
            return recipe.logits({k: getattr(self, k.replace(".", "_")) for k in weights}, x)

    return Reader().eval(), "default"


def inputs_of(name, n):
    """Grey pictures: (ours [n,224,224], theirs as their model takes them)."""
    import numpy as np
    rng = np.random.default_rng(3)
    grey = rng.random((n, 224, 224), dtype=np.float32)
    if name == "resnet":
        grey = (grey - np.float32(0.5)) / np.float32(0.25)
        return grey, grey
    rgb = [(grey - np.float32(m)) / np.float32(s) for m, s in zip(MEAN, STD)]
    return grey, np.ascontiguousarray(np.stack(rgb, 1))


# ---------------------------------------------------------------- who runs
class Ours:
    name = "stepcot"

    def __init__(self, build, package, most, grey, work):
        self.process = subprocess.Popen([build + "/bin/tool_bench_peer", package, str(most)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.line()
        grey.tofile(work + "/inputs.f32")
        self.ask(f"load {work}/inputs.f32")

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            sys.exit("tool_bench_peer ended")
        return text.split()

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def logits(self, n):
        import numpy as np
        first = self.ask(f"logits {n}")
        return np.array([first] + [self.line() for _ in range(n - 1)], dtype=np.float32)

    def times(self, n, count):
        return [float(t) for t in self.ask(f"run {n} {count}")]

    def peak(self):
        return float(self.ask("peak")[0])


class Peer:
    """run[n](): logits of the first n inputs."""
    def logits(self, n):
        return self.run[n]()

    def times(self, n, count):
        out = []
        for _ in range(count):
            start = time.perf_counter()
            self.run[n]()
            out.append((time.perf_counter() - start) * 1e3)
        return out


class Torch(Peer):
    def __init__(self, model, x, batches, threads):
        import torch
        torch.set_num_threads(threads)
        self.name = "PyTorch " + torch.__version__.split("+")[0]
        parts = {n: torch.from_numpy(x[:n].copy()) for n in batches}

        def forward(n):
            with torch.inference_mode():
                return model(parts[n]).numpy()
        self.run = {n: (lambda n=n: forward(n)) for n in batches}


def export(model, x, n, path):
    import torch
    if not os.path.exists(path):
        torch.onnx.export(model, (torch.from_numpy(x[:n].copy()),), path, input_names=["x"], output_names=["logits"],
                          opset_version=17, dynamo=False)
    return path


class OnnxRuntime(Peer):
    def __init__(self, model, x, batches, threads, stem):
        import onnxruntime as ort
        self.name, self.run = "ONNX Runtime " + ort.__version__, {}
        for n in batches:
            options = ort.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            # its threads would spin on while the others are measured
            options.add_session_config_entry("session.force_spinning_stop", "1")
            session = ort.InferenceSession(export(model, x, n, f"{stem}-{n}.onnx"), options,
                                           providers=["CPUExecutionProvider"])
            part = x[:n].copy()
            self.run[n] = lambda s=session, p=part: s.run(None, {"x": p})[0]


class OpenVino(Peer):
    def __init__(self, model, x, batches, threads, stem):
        import openvino as ov
        self.name, self.run = "OpenVINO " + ov.__version__.split("-")[0], {}
        core = ov.Core()
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        for n in batches:
            request = core.compile_model(export(model, x, n, f"{stem}-{n}.onnx"), "CPU", hints).create_infer_request()
            part = x[:n].copy()
            self.run[n] = lambda r=request, p=part: r.infer({"x": p})[0].copy()


def peers_of(name, model, x, batches, options):
    stem, found = f"{options.work}/{name}", [Torch(model, x, batches, options.threads)]
    for make, module in ((OnnxRuntime, "onnxruntime"), (OpenVino, "openvino")):
        if importlib.util.find_spec(module) and importlib.util.find_spec("onnx"):
            found.append(make(model, x, batches, options.threads, stem))
        else:
            print(f"# {module} or onnx is not installed: left out", file=sys.stderr)
    return found


# ---------------------------------------------------------------- the turns
def check(everyone, batches):
    import numpy as np
    for n in batches:
        want = everyone[0].logits(n)
        for peer in everyone[1:]:
            error = float(np.abs(peer.logits(n) - want).max() / np.abs(want).max())
            if not error <= BOUND:
                sys.exit(f"{peer.name} and {everyone[0].name} disagree at batch {n}: {error:.2g}, bound {BOUND:g}")


def turns(everyone, n, seconds):
    """rounds[i][k]: milliseconds of everyone[k] in round i. Who begins changes; each warms up once before its turn."""
    rough = [p.times(n, 2)[1] for p in everyone]
    count = [max(1, min(10, int(300 / t))) for t in rough]
    rounds, end = [], time.monotonic() + seconds
    while len(rounds) < 3 or time.monotonic() < end:
        row = [0.0] * len(everyone)
        for step in range(len(everyone)):
            k = (step + len(rounds)) % len(everyone)
            time.sleep(0.05)  # whoever ran before comes to rest
            row[k] = statistics.median(everyone[k].times(n, count[k] + 1)[1:])
        rounds.append(row)
    return rounds


def report(name, n, everyone, rounds):
    median = [statistics.median(row[k] for row in rounds) for k in range(len(everyone))]
    best = [min(row[k] for row in rounds) for k in range(len(everyone))]
    ratio = [statistics.median(row[k] / row[0] for row in rounds) for k in range(len(everyone))]
    for k in range(1, len(everyone)):
        print(f"{name:7s} batch {n:3d}  {everyone[k].name:22s} / ours {ratio[k]:.2f}    "
              f"{median[k]:8.2f} / {median[0]:8.2f} ms (bests {best[k]:.2f} / {best[0]:.2f}, {len(rounds)} rounds)",
              flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--model", default="all", choices=("vit", "resnet", "all"))
    parser.add_argument("--batch", default="1,8,32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="of each batch size")
    parser.add_argument("--work", default="/tmp/stepcot-peers", help="packages and ONNX files are kept there")
    options = parser.parse_args()
    batches = [int(n) for n in options.batch.split(",")]
    os.makedirs(options.work, exist_ok=True)
    print(f"# {time.strftime('%Y-%m-%d %H:%M')} {platform.machine()}, {os.cpu_count()} processors, "
          f"{options.threads} threads each, load {os.getloadavg()[0]:.1f}")
    for name, make in (("vit", make_vit), ("resnet", make_resnet)):
        if options.model not in (name, "all"):
            continue
        model, package = make(options.build, options.work)
        grey, theirs = inputs_of(name, max(batches))
        ours = Ours(options.build, package, max(batches), grey, options.work)
        everyone = [ours] + peers_of(name, model, theirs, batches, options)
        check(everyone, batches)
        for n in batches:
            report(name, n, everyone, turns(everyone, n, options.seconds))
        print(f"# peak {ours.peak():.1f} GF/s of fused multiply-adds")


if __name__ == "__main__":
    main()
