// What is said of cameras. What is wrong with one comes from the gate. The language is the device's.

const WORDS = {
  en: {
    title: "Camera", starting: "Starting", running: "Running", lost: "Lost", stopped: "Stopped", reads: "Reads",
    noCamera: "No camera", noCameraText: "The settings name none. brama devices lists what is connected.",
    offline: "Not connected", offlineText: "The gate is not reached, or too many pages show this camera. Connecting…",
    waiting: "Waiting for a picture", lostText: "Camera lost", stalled: "No new picture for {} s",
    frames: "frames/s", decoding: "ms to decode", took: "ms", step: "step", size: "width of the code", still: "nothing moves",
    light: "Light", focus: "Focus",
    too_dark: "Too dark: more light, or a longer exposure.", too_bright: "Too bright: less light, or a shorter exposure.",
    out_of_focus: "Out of focus, or nothing to see: turn the lens, or hold a code to it.", good: "Light and focus are good.",
    hold: "Hold a code to the camera", last: "Read last", times: "{} times",
  },
  uk: {
    title: "Камера", starting: "Запускається", running: "Працює", lost: "Втрачено", stopped: "Зупинено", reads: "Читає",
    noCamera: "Немає камери", noCameraText: "У налаштуваннях її немає. Що під'єднано, покаже brama devices.",
    offline: "Немає зв'язку", offlineText: "Пристрій не відповідає, або цю камеру показує забагато сторінок. З'єднуємося…",
    waiting: "Чекаємо на зображення", lostText: "Камеру втрачено", stalled: "Немає нового зображення вже {} с",
    frames: "кадрів/с", decoding: "мс на розбір", took: "мс", step: "крок", size: "ширина коду", still: "нерухомо",
    light: "Світло", focus: "Різкість",
    too_dark: "Затемно: більше світла або довша витримка.", too_bright: "Засвітло: менше світла або коротша витримка.",
    out_of_focus: "Нерізко або нема на що дивитися: поверніть об'єктив або піднесіть код.", good: "Світло й різкість добрі.",
    hold: "Піднесіть код до камери", last: "Прочитано", times: "разів: {}",
  },
  ru: {
    title: "Камера", starting: "Запускается", running: "Работает", lost: "Потеряна", stopped: "Остановлена", reads: "Читает",
    noCamera: "Нет камеры", noCameraText: "В настройках её нет. Что подключено, покажет brama devices.",
    offline: "Нет связи", offlineText: "Устройство не отвечает, или эту камеру показывает слишком много страниц. Соединяемся…",
    waiting: "Ждём изображения", lostText: "Камера потеряна", stalled: "Нет нового изображения уже {} с",
    frames: "кадров/с", decoding: "мс на разбор", took: "мс", step: "шаг", size: "ширина кода", still: "неподвижно",
    light: "Свет", focus: "Резкость",
    too_dark: "Темно: больше света или длиннее выдержка.", too_bright: "Слишком светло: меньше света или короче выдержка.",
    out_of_focus: "Нерезко или не на что смотреть: поверните объектив или поднесите код.", good: "Свет и резкость хорошие.",
    hold: "Поднесите код к камере", last: "Прочитано", times: "раз: {}",
  },
};

export const words = WORDS[document.documentElement.lang] ?? WORDS.en;

/** Fill one phrase's place. */
export function say(word, value) {
  return words[word].replace("{}", () => String(value));
}
