// What the page says of itself; what it says of a ticket comes from the gate. The language is the device's.

const WORDS = {
  en: {
    ready: "Ready", scan: "Scan a ticket", closed: "Closed", opens: "Opens {}", noOpening: "Does not open again",
    open: "Open", noLane: "No such lane", noLaneText: "Lanes here: {}", unassigned: "No checkpoint",
    unassignedText: "Assign one to this lane in the CRM or in the settings.", signInFirst: "Sign in first",
    signInText: "This checkpoint admits only with a controller on shift.", offline: "Page not connected",
    offlineText: "This page does not hear the gate. Trust nothing shown before. Connecting…",
    cannot: "Cannot record", cannotText: "Admit nobody here: scans cannot be written down.",
    heldOpen: "HELD OPEN", heldOpenText: "Emergency contact: let everybody through.", again: "shown again",
    error: "Not scanned", override: "Admit (supervisor)", signIn: "Sign in", onShift: "On shift: {}",
    code: "Type a code", crm: "CRM", data: "List", unsent: "Unsent", gateClock: "Clock", tickets: "{} tickets",
    none: "not set up", connecting: "connecting", connected: "connected", away: "away", refused: "refused",
    revoked: "revoked", never: "never", ago: "{} ago", trusted: "exact", estimated: "estimated", unknown: "not sure",
    pulling: "{} tickets so far", pullingOf: "{} of {} tickets, {} left", s: "s", min: "min", h: "h", d: "d",
    conflicts: "{} tickets were admitted twice: {}", parked: "{} scans refused by the CRM", more: "{} more",
    who: "Who is on shift?", whoHint: "Scan your badge, or choose your name.", badge: "Badge", supervisor: "supervisor",
    signOut: "End the shift of {}", pin: "PIN of {}", pinHint: "Type the PIN.", back: "Back",
    whyTitle: "Why admit?", whyHint: "The reason is kept in the journal.", why: "Another reason", next: "Next",
    whoAdmits: "Which supervisor?", reasons: ["Ticket desk error", "Technical fault", "Organiser's decision", "Stepped out and came back"],
    passed: "went through", not_passed: "did not go through", sound: "Tap for sound", noAnswer: "The gate did not answer. Scan again.",
    exitReady: "Scan a ticket to let out", nobody: "Nobody may sign in yet: the list of controllers is empty.",
    picture: "Picture", pictureGone: "This picture is no longer kept.",
  },
  uk: {
    ready: "Готово", scan: "Проскануйте квиток", closed: "Зачинено", opens: "Відкриється {}", noOpening: "Більше не відкриється",
    open: "Відчинено", noLane: "Немає такої смуги", noLaneText: "Смуги тут: {}", unassigned: "Пункт не призначено",
    unassignedText: "Призначте його цій смузі в CRM або в налаштуваннях.", signInFirst: "Спершу увійдіть",
    signInText: "Цей пункт пускає лише з контролером на зміні.", offline: "Сторінку від'єднано",
    offlineText: "Сторінка не чує пристрою. Не вірте тому, що було на екрані. З'єднуємося…",
    cannot: "Запис неможливий", cannotText: "Нікого не пускайте: скани не записуються.",
    heldOpen: "ВІДКРИТО АВАРІЙНО", heldOpenText: "Аварійний контакт: пропускайте всіх.", again: "показано ще раз",
    error: "Не проскановано", override: "Пропустити (старший)", signIn: "Увійти", onShift: "На зміні: {}",
    code: "Введіть код", crm: "CRM", data: "Список", unsent: "Не надіслано", gateClock: "Годинник", tickets: "{} квитків",
    none: "не налаштовано", connecting: "з'єднання", connected: "на зв'язку", away: "немає зв'язку", refused: "відмовлено",
    revoked: "відкликано", never: "ніколи", ago: "{} тому", trusted: "точний", estimated: "приблизний", unknown: "непевний",
    pulling: "{} квитків завантажено", pullingOf: "{} з {} квитків, лишилось {}", s: "с", min: "хв", h: "год", d: "дн",
    conflicts: "Двічі пропущено квитків: {} ({})", parked: "CRM не прийняла сканів: {}", more: "ще {}",
    who: "Хто на зміні?", whoHint: "Проскануйте бейдж або виберіть ім'я.", badge: "Бейдж", supervisor: "старший",
    signOut: "Завершити зміну: {}", pin: "PIN: {}", pinHint: "Введіть PIN.", back: "Назад",
    whyTitle: "Чому пропустити?", whyHint: "Причина залишиться в журналі.", why: "Інша причина", next: "Далі",
    whoAdmits: "Хто зі старших?", reasons: ["Помилка каси", "Технічна несправність", "Рішення організатора", "Виходив і повернувся"],
    passed: "пройшов", not_passed: "не пройшов", sound: "Торкніться для звуку", noAnswer: "Пристрій не відповів. Проскануйте ще раз.",
    exitReady: "Проскануйте квиток на вихід", nobody: "Увійти ще нікому: список контролерів порожній.",
    picture: "Знімок", pictureGone: "Цей знімок уже не зберігається.",
  },
  ru: {
    ready: "Готово", scan: "Сканируйте билет", closed: "Закрыто", opens: "Откроется {}", noOpening: "Больше не откроется",
    open: "Открыто", noLane: "Нет такой полосы", noLaneText: "Полосы здесь: {}", unassigned: "Пункт не назначен",
    unassignedText: "Назначьте его этой полосе в CRM или в настройках.", signInFirst: "Сначала войдите",
    signInText: "Этот пункт пускает только с контролёром на смене.", offline: "Страница отключена",
    offlineText: "Страница не слышит устройства. Не верьте тому, что было на экране. Соединяемся…",
    cannot: "Запись невозможна", cannotText: "Никого не пускайте: сканы не записываются.",
    heldOpen: "ОТКРЫТО АВАРИЙНО", heldOpenText: "Аварийный контакт: пропускайте всех.", again: "показано ещё раз",
    error: "Не отсканировано", override: "Пропустить (старший)", signIn: "Войти", onShift: "На смене: {}",
    code: "Введите код", crm: "CRM", data: "Список", unsent: "Не отправлено", gateClock: "Часы", tickets: "{} билетов",
    none: "не настроено", connecting: "соединение", connected: "на связи", away: "нет связи", refused: "отказано",
    revoked: "отозвано", never: "никогда", ago: "{} назад", trusted: "точные", estimated: "приблизительные", unknown: "неточные",
    pulling: "загружено билетов: {}", pullingOf: "{} из {} билетов, осталось {}", s: "с", min: "мин", h: "ч", d: "дн",
    conflicts: "Дважды пропущено билетов: {} ({})", parked: "CRM не приняла сканов: {}", more: "ещё {}",
    who: "Кто на смене?", whoHint: "Сканируйте бейдж или выберите имя.", badge: "Бейдж", supervisor: "старший",
    signOut: "Завершить смену: {}", pin: "PIN: {}", pinHint: "Введите PIN.", back: "Назад",
    whyTitle: "Почему пропустить?", whyHint: "Причина останется в журнале.", why: "Другая причина", next: "Далее",
    whoAdmits: "Кто из старших?", reasons: ["Ошибка кассы", "Техническая неисправность", "Решение организатора", "Выходил и вернулся"],
    passed: "прошёл", not_passed: "не прошёл", sound: "Коснитесь для звука", noAnswer: "Устройство не ответило. Сканируйте ещё раз.",
    exitReady: "Сканируйте билет на выход", nobody: "Войти ещё некому: список контролёров пуст.",
    picture: "Снимок", pictureGone: "Этот снимок уже не хранится.",
  },
};

export const words = WORDS[document.documentElement.lang] ?? WORDS.en;

/** Fill one phrase's places in order. */
export function say(word, ...values) {
  const rest = [...values];
  return (words[word] ?? word).replaceAll("{}", () => String(rest.shift() ?? ""));
}

/** Write seconds as a rounded duration. */
export function duration(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} ${words.s}`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} ${words.min}`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} ${words.h}`;
  return `${Math.floor(seconds / 86400)} ${words.d}`;
}

/** Write an instant as local time of a zone, with its date unless that is today's; `now` in ms. */
export function timeText(instant, zone, now, precise = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone || undefined };
  if (precise) options.second = "2-digit";
  const language = document.documentElement.lang;
  const at = new Date(instant);
  const day = (date) => date.toLocaleDateString("en-CA", { timeZone: zone || undefined });
  const time = at.toLocaleTimeString(language, options);
  if (day(at) === day(new Date(now))) return time;
  return `${at.toLocaleDateString(language, { day: "2-digit", month: "2-digit", timeZone: zone || undefined })} ${time}`;
}
