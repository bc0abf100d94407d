"""Small CLIP and BERT checkpoints, randomly initialised by the transformers library itself, and their features.

    python3 generate.py .        # needs torch, transformers; made with the versions that tests/golden/README.md names

clip/, bert/   what save_pretrained() leaves: config.json, model.safetensors; bert/ with a vocab.txt of our own
openai.safetensors  the same image tower under OpenAI's names, in half precision, as a published Step-CoT checkpoint has it
expected.safetensors  inputs and features of all three
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizer, CLIPConfig, CLIPModel

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] is there a lesion ? which pattern ##s what size heart of the".split()  # 17 of 50
QUESTIONS = ["Is there a lesion?", "Which patterns", "What is the size of the heart?"]  # as tests/test_prompts.c has them
SMALL = dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3)


def shake(model):
    """Norms and biases away from their neutral values, so that a swapped or forgotten one shows."""
    model.eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.05 * torch.randn_like(p)
    return model


def openai_names(state):
    """The image tower as OpenAI's own code names it: fused in_proj, transposed projection, half precision."""
    out = {}
    v, r = "vision_model.", "clip_model.visual."
    out[r + "class_embedding"] = state[v + "embeddings.class_embedding"]
    out[r + "conv1.weight"] = state[v + "embeddings.patch_embedding.weight"]
    out[r + "positional_embedding"] = state[v + "embeddings.position_embedding.weight"]
    out[r + "proj"] = state["visual_projection.weight"].t()
    for ours, theirs in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for part in ("weight", "bias"):
            out[f"{r}{theirs}.{part}"] = state[f"{v}{ours}.{part}"]
    for n in range(SMALL["num_hidden_layers"]):
        a, b = f"{v}encoder.layers.{n}.", f"{r}transformer.resblocks.{n}."
        for part in ("weight", "bias"):
            out[f"{b}attn.in_proj_{part}"] = torch.cat([state[f"{a}self_attn.{x}_proj.{part}"] for x in "qkv"])
            for ours, theirs in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                                 ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                out[f"{b}{theirs}.{part}"] = state[f"{a}{ours}.{part}"]
    out["clip_model.logit_scale"] = state["logit_scale"]  # of the text tower's world: known, not needed
    out["clip_model.ln_final.weight"] = torch.ones(4)
    return {k: x.half().contiguous() for k, x in out.items()}


def main(to):
    torch.manual_seed(7)
    clip = shake(CLIPModel(CLIPConfig(
        vision_config=dict(SMALL, image_size=24, patch_size=6), projection_dim=20,
        text_config=dict(vocab_size=11, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
                         max_position_embeddings=4))))
    bert = shake(BertModel(BertConfig(vocab_size=50, max_position_embeddings=16, **SMALL)))
    images, grey = torch.randn(3, 3, 24, 24), torch.rand(3, 1, 24, 24)
    ids = torch.randint(0, 50, (4, 9))
    mask = torch.ones(4, 9, dtype=torch.int64)
    mask[1, 5:], mask[2, 1:], mask[3, 8:] = 0, 0, 0
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[None, :, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[None, :, None, None]
    clip.save_pretrained(f"{to}/clip")
    bert.save_pretrained(f"{to}/bert")

    def features(x):
        pooled = clip.vision_model(pixel_values=x).pooler_output
        return clip.visual_projection(pooled)

    with torch.no_grad():
        expected = dict(images=images, ids=ids, mask=mask, grey=grey, clip=features(images),
                        clip_grey=features((grey.expand(-1, 3, -1, -1) - mean) / std),
                        bert=bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0].contiguous())
        halves = openai_names(load_file(f"{to}/clip/model.safetensors"))
        save_file(halves, f"{to}/openai.safetensors")
        for p in clip.parameters():  # what the half-precision file says, in full precision
            p.copy_(p.half().float())
        expected["openai"] = features(images)
    with open(f"{to}/bert/vocab.txt", "w") as f:
        f.write("\n".join(VOCABULARY) + "\n")
    tokenizer = BertTokenizer(f"{to}/bert/vocab.txt", do_lower_case=True)
    with torch.no_grad():  # each text by itself, then all together, padded and masked: the same
        alone = [bert(**tokenizer(t, return_tensors="pt")).last_hidden_state[:, 0] for t in QUESTIONS]
        padded = bert(**tokenizer(QUESTIONS, return_tensors="pt", padding=True)).last_hidden_state[:, 0]
    expected["questions"] = torch.cat(alone)
    assert (padded - expected["questions"]).abs().max() < 1e-5
    save_file(expected, f"{to}/expected.safetensors")
    for name in ("clip", "bert"):
        print(name, json.load(open(f"{to}/{name}/config.json")).get("model_type"), os.listdir(f"{to}/{name}"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
