"use strict";
(() => {
  const form = document.getElementById("checkout");
  const { currency } = form.dataset;
  const money = new Intl.NumberFormat("en-US", {
    style: "currency", currency, currencyDisplay: currency === "USD" ? "symbol" : "code",
    minimumFractionDigits: 2, maximumFractionDigits: 2,
  });
  const show = (element, cents) => { element.textContent = money.format(cents / 100); };
  const field = (name) => form.elements.namedItem(name);

  // The total follows the quantities; the server counts again.
  const count = () => {
    let total = 0;
    for (const item of form.querySelectorAll("[data-price]")) {
      const control = item.querySelector("select, input");
      const cents = item.dataset.price * (control ? Math.max(0, Math.trunc(control.value)) || 0 : item.dataset.count);
      show(item.querySelector("[data-line]"), cents);
      item.querySelector("[data-each]").hidden = cents <= item.dataset.price;
      total += cents;
    }
    for (const element of document.querySelectorAll("[data-total]")) show(element, total);
  };

  // Groups of digits are easier to compare with a card.
  const group = (input) => {
    if (input.selectionStart !== input.value.length) return;
    const digits = input.value.replace(/\D/g, "").slice(0, 19);
    const groups = /^3[47]/.test(digits) ? /^(.{0,4})(.{0,6})(.{0,5})/ : /^(.{0,4})(.{0,4})(.{0,4})(.{0,7})/;
    input.value = groups.exec(digits).slice(1).filter(Boolean).join(" ");
  };
  const date = (input, event) => {
    if (event.inputType === "insertText" && /^\d\d$/.test(input.value)) input.value += " / ";
  };
  form.addEventListener("input", (event) => {
    if (event.target.name === "card_number") group(event.target);
    if (event.target.name === "card_expiry") date(event.target, event);
    if (event.target.name.startsWith("quantity_")) count();
  });

  // A test value at a touch.
  const use = (values) => {
    for (const [name, value] of Object.entries(values)) field(name).value = value;
  };
  for (const button of form.querySelectorAll("[data-card], [data-account]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const { card, account } = button.dataset;
      document.getElementById(card ? "by-card" : "by-bank").checked = true;
      use(card
        ? { card_number: card, card_expiry: "12 / 34", card_cvc: card.startsWith("37") ? "1234" : "123" }
        : { routing_number: "110000000", account_number: account });
      field(card ? "card_number" : "account_number").focus();
    });
  }

  // Pressed twice is sent once; the server would take it once as well.
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
    form.classList.add("sent");
  });
  addEventListener("pageshow", () => {
    sent = false;
    form.classList.remove("sent");
    count();
  });
})();
