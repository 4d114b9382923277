// Application.java - a servlet and a WebSocket: what it is asked for decides what it does. Tomcat's RemoteIpValve has
// seen to who asks and by which scheme.

import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import jakarta.websocket.OnMessage;
import jakarta.websocket.server.ServerEndpoint;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

@WebServlet("/")
public class Application extends HttpServlet {
    private static final int PIECE = 65536;
    private static final String NAME = System.getProperty("app.name", "");

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setHeader("X-Instance", NAME);
        switch (request.getServletPath()) {
        case "/upload":
            text(response, receive(request.getInputStream()));
            break;
        case "/big":
            big(response.getOutputStream(), Integer.parseInt(request.getParameter("n")));
            break;
        case "/events":
            events(response, request.getParameter("gate"));
            break;
        case "/basket":
            basket(request, response);
            break;
        default:
            text(response, "client=" + request.getRemoteAddr() + "\nscheme=" + request.getScheme() + "\nhost="
                + request.getServerName() + "\nsecure=" + request.isSecure() + "\n");
        }
    }

    /** What is in the session, which only this instance knows; url: a way back for who has no cookies. */
    private static void basket(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        Integer n = (Integer) session.getAttribute("n");
        session.setAttribute("n", n = n == null ? 1 : n + 1);
        text(response, "items=" + n + "\nurl=" + response.encodeURL(request.getContextPath() + "/basket") + "\n");
    }

    private static void text(HttpServletResponse response, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        response.setContentType("text/plain");
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    private static String receive(InputStream in) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("MD5");
            byte[] buffer = new byte[PIECE];
            long bytes = 0;
            for (int n; (n = in.read(buffer)) >= 0; bytes += n) {
                digest.update(buffer, 0, n);
            }
            StringBuilder hex = new StringBuilder();
            for (byte b : digest.digest()) {
                hex.append(String.format("%02x", b));
            }
            return "bytes=" + bytes + "\nmd5=" + hex + "\n";
        } catch (NoSuchAlgorithmException e) {
            throw new IOException(e);
        }
    }

    /** N times 64 KiB, each of one letter. */
    private static void big(OutputStream out, int n) throws IOException {
        byte[] piece = new byte[PIECE];
        for (int i = 0; i < n; i++) {
            Arrays.fill(piece, (byte) ('a' + i % 26));
            out.write(piece);
        }
    }

    /** Three server-sent events; the one after I comes when the file GATE.I is there: its client has had I. */
    private static void events(HttpServletResponse response, String gate) throws IOException {
        response.setContentType("text/event-stream");
        for (int i = 1; i <= 3; i++) {
            response.getOutputStream().print("id: " + i + "\ndata: event " + i + "\n\n");
            response.flushBuffer();
            while (i < 3 && !Files.exists(Path.of(gate + "." + i))) {
                try {
                    Thread.sleep(10);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }
    }

    @ServerEndpoint("/ws")
    public static class Echo {
        @OnMessage(maxMessageSize = 1 << 26)
        public ByteBuffer echo(ByteBuffer message) {
            return message;
        }
    }
}
