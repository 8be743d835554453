import { test } from "node:test";
import assert from "node:assert/strict";
import twilio from "twilio";
import { accountSid, authToken, client, from, LONG, pointed, refused, settings } from "./client.mjs";

const none = (prefix) => prefix + "0".repeat(32);
const call = (more) => () => client.calls.create({ to: "sip:a@b", from, twiml: LONG, ...more });

for (const [name, work, expected] of [
  ["an unknown call", () => client.calls(none("CA")).fetch(), [404, 20404]],
  ["a call without a document", call({ twiml: undefined }), [400, 21205]],
  ["a call to nowhere", call({ to: "" }), [400, 21201]],
  ["a document that is too long", call({ twiml: "x".repeat(4001) }), [400, 32018]],
  ["a timeout that is too long", call({ timeout: 601 }), [400, 21208]],
  ["an unknown application", call({ applicationSid: none("AP") }), [400, 21218]],
  ["a name that is none", () => client.sip.domains.create({ domainName: "not a name" }), [400, 21232]],
  ["what is not here", () => client.messages.list(), [404, 20404]],
]) {
  test(`refused: ${name}`, async () => assert.deepEqual(await refused(work()), expected));
}

test("the exception says where to read more", async () => {
  await assert.rejects(call({ timeout: 601 })(), (error) => {
    assert.equal(error.moreInfo, "https://www.twilio.com/docs/errors/21208");
    assert.match(error.message, /Timeout/);
    return true;
  });
});

test("wrong credentials", async () => {
  const stranger = pointed(twilio(accountSid, "0".repeat(32)));
  assert.deepEqual(await refused(stranger.applications.list()), [401, 20003]);
});

test("an API key opens the account", async () => {
  const rest = pointed(twilio(settings.apiKey, settings.apiSecret, { accountSid }));
  const made = await rest.applications.create({ friendlyName: "By key" });
  assert.equal(made.accountSid, accountSid);
  assert.equal(await rest.applications(made.sid).remove(), true);
});

test("a client that asks too often is told to wait; its own retries get through", async () => {
  const { busy } = settings;
  const point = (rest) => {
    rest.api.baseUrl = busy.baseUrl;
    return rest;
  };
  const hasty = point(twilio(busy.accountSid, busy.authToken));
  const answers = await Promise.allSettled(Array.from({ length: 60 }, () => hasty.sip.domains.list()));
  const reasons = answers.filter((one) => one.status === "rejected").map((one) => one.reason);
  assert.ok(reasons.length > 0);
  for (const error of reasons) assert.deepEqual([error.status, error.code], [429, 20429]);
  const patient = point(
    twilio(busy.accountSid, busy.authToken, { autoRetry: true, maxRetries: 10, maxRetryDelay: 500 }),
  );
  for (let count = 0; count < 12; count++) assert.equal((await patient.sip.domains.list()).length, 1);
});

class Repeating extends twilio.RequestClient {
  request(options) {
    const headers = { ...options.headers, "Idempotency-Key": "node-order-17" };
    return super.request({ ...options, headers });
  }
}

test("a repeated request makes one application", async () => {
  const rest = pointed(twilio(accountSid, authToken, { httpClient: new Repeating() }));
  const wanted = { friendlyName: "Once" };
  const first = await rest.applications.create(wanted);
  assert.equal((await rest.applications.create(wanted)).sid, first.sid);
  assert.deepEqual(await refused(rest.applications.create({ friendlyName: "Other" })), [409, 20409]);
  assert.equal((await client.applications.list({ friendlyName: "Once" })).length, 1);
});
