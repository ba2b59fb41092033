"""Makes the audio in ``tests/data`` and ``loadtest/data``: speech from a synthesiser, noise from a formula, and mixtures.

Run ``python tests/trials/make_fixtures.py`` with eSpeak NG installed (Debian: ``apt install espeak-ng``; macOS:
``brew install espeak-ng``). The files are kept in the repository, so the tests need neither this script nor eSpeak NG.
The same release of eSpeak NG gives the same samples; another one may speak a little differently.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

RATE = 16000
PEAK_DBFS = -6.0
SNR_DB = 5.0
DATA = Path(__file__).parents[1] / "data"
LOADTEST = Path(__file__).parents[2] / "loadtest" / "data"
ENGLISH = (
    "Good morning, this is Ellen from the harbour office. The ferry is running an hour late. Please call me back before noon."
)
GERMAN = "Guten Tag. Der Zug nach Hamburg fährt heute von Gleis sieben."
LOADTEST_ENGLISH = "Could you read me the last four numbers again?"
LOADTEST_GERMAN = "Einen Moment bitte, ich verbinde Sie gleich weiter."
Signal = npt.NDArray[np.float64]


def main() -> None:
    """Write all six files."""
    english = speak(ENGLISH, voice="en-us+f3", words_per_minute=180)
    street = street_noise(len(english), seed=1)
    write("speech_en", english)
    write("speech_de", speak(GERMAN, voice="de", words_per_minute=165))
    write("noise_street", street)
    write("noisy_en", mix(english, street))
    for name, voice, text, seed in (("english", "en-us+f3", LOADTEST_ENGLISH, 2), ("german", "de", LOADTEST_GERMAN, 3)):
        speech = speak(text, voice=voice, words_per_minute=175)
        write(name, mix(speech, street_noise(len(speech), seed)), LOADTEST)


def speak(text: str, voice: str, words_per_minute: int) -> Signal:
    """Spoken text ``[samples]`` at 16 kHz with a quarter of a second of silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(path), text], check=True)
        audio, rate = soundfile.read(path)
    speech: Signal = soxr.resample(audio, rate, RATE, quality="VHQ")
    loud = np.flatnonzero(np.abs(speech) > 0.001 * np.abs(speech).max())
    speech = np.pad(speech[loud[0] : loud[-1] + 1], RATE // 4)
    return speech * (10 ** (PEAK_DBFS / 20) / float(np.abs(speech).max()))


def street_noise(length: int, seed: int) -> Signal:
    """Traffic-like noise ``[length]``: two passing vehicles over a steady rumble, tyre hiss, and mains hum.

    Each part is Gaussian noise shaped in the frequency domain; passing is a slow swell of its level.
    """
    generator = np.random.default_rng(seed)
    seconds = np.arange(length) / RATE

    def shaped(low_hz: float, high_hz: float, db_per_octave: float) -> Signal:
        frequency = np.fft.rfftfreq(length, 1 / RATE)
        slope = (np.maximum(frequency, 20.0) / low_hz) ** (db_per_octave / 6.02)
        band = 1 / (1 + (low_hz / np.maximum(frequency, 1.0)) ** 4) / (1 + (frequency / high_hz) ** 4)
        part = np.fft.irfft(np.fft.rfft(generator.standard_normal(length)) * slope * band, n=length)
        return part / rms(part)

    def passing(at: float, width: float) -> Signal:
        return np.exp(-(((seconds - at) / width) ** 2))

    rumble = shaped(40, 300, -3) * 0.5
    engines = shaped(70, 900, -4) * (passing(1.6, 0.7) + 0.8 * passing(4.4, 0.9))
    tyres = shaped(500, 4500, -3) * (0.15 + 0.6 * passing(1.7, 0.6) + 0.5 * passing(4.6, 0.8))
    flutter = 1 + 0.25 * np.sin(2 * np.pi * 3.1 * seconds + 0.7)
    hum = sum(np.sin(2 * np.pi * 50 * order * seconds + order) / order for order in (1, 2, 3, 5, 7))
    noise: Signal = rumble + (engines + tyres) * flutter + 0.12 * hum
    return noise * 0.05 / rms(noise)


def mix(speech: Signal, noise: Signal) -> Signal:
    """Both together, the noise ``SNR_DB`` below the speech."""
    return speech + noise * rms(speech) / rms(noise) * 10 ** (-SNR_DB / 20)


def rms(signal: Signal) -> float:
    """Root mean square over the whole signal, pauses included."""
    return float(np.sqrt(np.mean(signal**2)))


def write(name: str, signal: Signal, folder: Path = DATA) -> None:
    """One 16-bit mono FLAC file."""
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / f"{name}.flac", signal, RATE, subtype="PCM_16")
    print(f"{name}: {len(signal) / RATE:.2f} s, peak {20 * np.log10(np.abs(signal).max()):.1f} dBFS")


if __name__ == "__main__":
    main()
