// A sound for each verdict, told apart without looking: two rising tones, a low buzz, two falling tones. A notice has one
// short tone, an emergency a siren that comes again for as long as it lasts.

const Context = window.AudioContext ?? window.webkitAudioContext;
const ALARM_MS = 2000;
let context = null;
let alarming = 0;

/** Start the sound system, as far as the browser lets a page do that; call again on a touch or a key. */
export function wake() {
  if (!Context) return;
  context ??= new Context();
  if (context.state === "suspended") context.resume().catch(() => {});
}

/** Tell whether the browser holds the sound back until someone touches the page. */
export function isMuted() {
  return context !== null && context.state === "suspended";
}

function tone(frequency, from, seconds, type, volume) {
  const start = context.currentTime + from;
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.type = type;
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(volume, start + 0.012);
  gain.gain.setValueAtTime(volume, start + seconds - 0.03);
  gain.gain.linearRampToValueAtTime(0, start + seconds);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(start + seconds);
}

const SOUNDS = {
  tick: () => { tone(784, 0, 0.13, "triangle", 0.5); tone(1175, 0.13, 0.22, "triangle", 0.5); },
  cross: () => { tone(132, 0, 0.28, "sawtooth", 0.5); tone(110, 0.32, 0.42, "sawtooth", 0.5); },
  out: () => { tone(988, 0, 0.12, "sine", 0.5); tone(659, 0.12, 0.2, "sine", 0.5); },
  card: () => { tone(880, 0, 0.14, "sine", 0.45); },
  door: () => {
    for (const from of [0, 0.5, 1]) {
      tone(960, from, 0.25, "square", 0.6);
      tone(640, from + 0.25, 0.25, "square", 0.6);
    }
  },
};
SOUNDS.eye = SOUNDS.warn = SOUNDS.cross;

/** Play the sound of a look; silently nothing where the browser does not let the page. */
export function play(look) {
  wake();
  if (context === null || context.state !== "running") return;
  SOUNDS[look]?.();
}

/** Sound the alarm, and again and again while `on`. */
export function alarm(on) {
  if (on === (alarming !== 0)) return;
  clearInterval(alarming);
  alarming = on ? setInterval(play, ALARM_MS, "door") : 0;
  if (on) play("door");
}
