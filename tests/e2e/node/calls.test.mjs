import { test } from "node:test";
import assert from "node:assert/strict";
import { application, client, from, LONG, refused, settings, statusIs, until } from "./client.mjs";

test("a call is created, tells of its progress, and is read", async (t) => {
  const app = await application({ "/answered": "<Response><Hangup/></Response>" });
  t.after(app.close);
  const to = settings.answering[0];
  const call = await client.calls.create({
    to,
    from,
    url: `${app.url}/answered`,
    statusCallback: `${app.url}/progress`,
    statusCallbackEvent: ["initiated", "ringing", "answered", "completed"],
  });
  assert.equal(call.status, "queued");
  assert.equal(call.direction, "outbound-api");
  const asked = await app.hit("/answered");
  assert.equal(asked.params.CallSid, call.sid);
  for (const CallStatus of ["initiated", "ringing", "in-progress", "completed"]) {
    await app.hit("/progress", { CallSid: call.sid, CallStatus });
  }
  assert.ok(app.hits.every((one) => one.signed));
  const ended = await statusIs(call.sid, "completed");
  assert.ok(ended.endTime >= ended.startTime);
  assert.equal(ended.price, null);

  const hour = 3_600_000;
  for (const filters of [
    { to },
    { status: "completed", from },
    { startTimeAfter: new Date(Date.now() - hour), startTimeBefore: new Date(Date.now() + hour) },
  ]) {
    const listed = await client.calls.list({ ...filters, limit: 100 });
    assert.ok(listed.some((row) => row.sid === call.sid), JSON.stringify(filters));
  }
  assert.deepEqual(await client.calls.list({ to, status: "busy" }), []);
  const events = await client.calls(call.sid).events.list();
  assert.ok(events.some((one) => one.request.url === `${app.url}/answered`));
  assert.equal(await client.calls(call.sid).remove(), true);
  assert.deepEqual(await refused(client.calls(call.sid).fetch()), [404, 20404]);
});

test("a live call is redirected and hung up", async (t) => {
  const app = await application({ "/second": LONG, "/third": LONG });
  t.after(app.close);
  const call = await client.calls.create({ to: settings.answering[1], from, twiml: LONG });
  await statusIs(call.sid, "in-progress");
  assert.deepEqual(await refused(client.calls(call.sid).remove()), [400, 20009]);
  await client.calls(call.sid).update({ url: `${app.url}/second`, method: "POST" });
  assert.equal((await app.hit("/second")).params.CallSid, call.sid);
  const twiml = `<Response><Redirect>${app.url}/third</Redirect></Response>`;
  await client.calls(call.sid).update({ twiml });
  await app.hit("/third");
  await client.calls(call.sid).update({ status: "completed" });
  await statusIs(call.sid, "completed");
  assert.deepEqual(await refused(client.calls(call.sid).update({ twiml: LONG })), [400, 21220]);
});

test("a ringing call is canceled", async () => {
  const call = await client.calls.create({ to: settings.ringing, from, twiml: LONG });
  await statusIs(call.sid, "ringing");
  await client.calls(call.sid).update({ status: "canceled" });
  await statusIs(call.sid, "canceled");
});

test("what went wrong in a call is read", async (t) => {
  const app = await application({ "/broken": "<Response><Nonsense</Response>" });
  t.after(app.close);
  const url = `${app.url}/broken`;
  const call = await client.calls.create({ to: settings.answering[2], from, url });
  const found = await until("notification", async () => {
    const rows = await client.calls(call.sid).notifications.list();
    return rows.find((row) => row.errorCode === "12100");
  });
  const whole = await client.notifications(found.sid).fetch();
  assert.equal(whole.requestUrl, url);
  assert.match(whole.responseBody, /<Nonsense/);
  const today = await client.notifications.list({ log: 0, messageDate: whole.messageDate, limit: 1000 });
  assert.ok(today.some((row) => row.sid === found.sid));
});

test("a live call is recorded, paused, resumed, stopped and downloaded", async () => {
  const { accountSid, authToken } = settings;
  const call = await client.calls.create({ to: settings.speaking, from, twiml: LONG });
  await statusIs(call.sid, "in-progress");
  const recording = await client.calls(call.sid).recordings.create({});
  assert.equal(recording.status, "in-progress");
  const live = client.calls(call.sid).recordings(recording.sid);
  assert.equal((await live.update({ status: "paused", pauseBehavior: "skip" })).status, "paused");
  assert.equal((await live.update({ status: "in-progress" })).status, "in-progress");
  await new Promise((resolve) => setTimeout(resolve, 1200)); // there is sound to be recorded
  await client.calls(call.sid).recordings("Twilio.CURRENT").update({ status: "stopped" });
  const done = await until("recording completed", async () => {
    const row = await client.recordings(recording.sid).fetch();
    return row.status === "completed" ? row : undefined;
  });
  const listed = await client.recordings.list({ callSid: call.sid });
  assert.deepEqual(listed.map((row) => row.sid), [recording.sid]);
  const Authorization = `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString("base64")}`;
  for (const [suffix, magic] of [["", "RIFF"], [".wav", "RIFF"]]) {
    const answer = await fetch(done.mediaUrl + suffix, { headers: { Authorization } });
    assert.equal(answer.status, 200);
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.equal(bytes.subarray(0, 4).toString(), magic);
    assert.ok(bytes.length > 8000);
  }
  const mp3 = await fetch(`${done.mediaUrl}.mp3`, { headers: { Authorization } });
  assert.equal(mp3.headers.get("content-type"), "audio/mpeg");
  await mp3.arrayBuffer();
  assert.equal((await fetch(done.mediaUrl)).status, 401);
  await client.calls(call.sid).update({ status: "completed" });
  assert.equal(await client.recordings(recording.sid).remove(), true);
});
