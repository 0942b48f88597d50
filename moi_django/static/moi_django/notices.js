// Who looks elsewhere: the title tells of ends, and the browser, if that is wanted.

const { storage } = await moiModule("storage");

// Where a browser remembers that its user wants to be notified.
const WISH = "moi-notify";

// Jobs that have ended while nobody saw the page, and what that has put before its title.
const unseen = new Set();
let badge = "";

function showBadge() {
  const title = document.title.startsWith(badge) ? document.title.slice(badge.length) : document.title;
  badge = unseen.size ? `(${unseen.size}) ` : "";
  document.title = badge + title;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !unseen.size) return;
  unseen.clear();
  showBadge();
});

/** Whether somebody wants the browser to tell of ends. */
export const wish = {
  get isPossible() {
    return "Notification" in window && Notification.permission !== "denied";
  },
  get isOn() {
    return this.isPossible && Notification.permission === "granted" && storage("localStorage")[WISH] === "on";
  },
  async toggle() {
    const isOn = !this.isOn && (await Notification.requestPermission()) === "granted";
    storage("localStorage")[WISH] = isOn ? "on" : "off";
  },
};

export function notify(info, status) {
  unseen.add(info.id);
  showBadge();
  if (!wish.isOn) return;
  try {
    const shown = new Notification(info.name, { body: status, tag: info.id });
    shown.onclick = () => window.focus();
  } catch {
    // Browsers of phones have them for service workers only.
  }
}
