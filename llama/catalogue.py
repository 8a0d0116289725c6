"""Models that are known to work well. `make model` downloads them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    name: str
    repository: str  # on Hugging Face
    file: str
    size: int  # bytes
    sha256: str
    licence: str
    remark: str

    @property
    def path(self) -> str:
        return f"{self.repository}/resolve/main/{self.file}"


CATALOGUE = [
    Entry(
        name="qwen2.5-0.5b",
        repository="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        file="qwen2.5-0.5b-instruct-q5_k_m.gguf",
        size=522_186_592,
        sha256="041474553fcabfc2a2d67903f9d2c2e50bd92528e670da4f33b5d0ce6e59fd55",
        licence="Apache-2.0",
        remark="recommended: fast without a graphics card, 29 languages",
    ),
    Entry(
        name="qwen2.5-0.5b-q8",
        repository="Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        file="qwen2.5-0.5b-instruct-q8_0.gguf",
        size=675_710_816,
        sha256="ca59ca7f13d0e15a8cfa77bd17e65d24f6844b554a7b6c12e07a5f89ff76844e",
        licence="Apache-2.0",
        remark="the same model, less compressed",
    ),
    Entry(
        name="qwen2.5-1.5b",
        repository="Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        file="qwen2.5-1.5b-instruct-q4_k_m.gguf",
        size=1_117_320_736,
        sha256="6a1a2eb6d15622bf3c96857206351ba97e1af16c30d7a74ee38970e434e9407e",
        licence="Apache-2.0",
        remark="better answers, about three times slower",
    ),
]
