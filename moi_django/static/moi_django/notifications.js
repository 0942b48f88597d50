// Tell of jobs that end while nobody sees the page: in its title, and by the browser where wanted.

const { browserStorage } = await moiModule("browser_storage");

// Where a browser remembers that its user wants to be notified.
const KEY = "moi-notify";

// Ids of jobs that have ended while nobody saw the page, and what precedes its title for them.
const unseen = new Set();
let badge = "";

function updateTitle() {
  const title = document.title.startsWith(badge) ? document.title.slice(badge.length) : document.title;
  badge = unseen.size ? `(${unseen.size}) ` : "";
  document.title = badge + title;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !unseen.size) return;
  unseen.clear();
  updateTitle();
});

/** Whether the user of this browser wants to be notified. */
export const notificationPreference = {
  get isAvailable() {
    return "Notification" in window && Notification.permission !== "denied";
  },
  get isOn() {
    return this.isAvailable && Notification.permission === "granted" && browserStorage("localStorage")[KEY] === "on";
  },
  async toggle() {
    const isOn = !this.isOn && (await Notification.requestPermission()) === "granted";
    browserStorage("localStorage")[KEY] = isOn ? "on" : "off";
  },
};

/** Tell of the end of a job. */
export function notifyEnd(info, status) {
  unseen.add(info.id);
  updateTitle();
  if (!notificationPreference.isOn) return;
  try {
    const notification = new Notification(info.name, { body: status, tag: info.id });
    notification.onclick = () => window.focus();
  } catch {
    // Browsers of phones have them for service workers only.
  }
}
